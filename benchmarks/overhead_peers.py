"""Other recorders on the same loops, as their documentation says; each needs its own package, none is needed here."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from benchmarks.overhead_loops import Contender, Run, plain_step
from torch import Tensor, nn


@dataclass(frozen=True)
class Peer:
    """Another recorder.

    Attributes:
        package: Its name on the package index.
        module: What must be importable.
        records: What it records, for people.
        prepare: Makes the contender; called once, in a process of its own; what must be put back goes on the stack.
    """

    package: str
    module: str
    records: str
    prepare: Callable[[ExitStack], Contender]


def torchmortem(stack: ExitStack) -> Contender:  # noqa: ARG001
    """Return torchmortem at its defaults: every step, the costly collectors at every fiftieth."""
    from torchmortem.core import Autopsy

    @contextmanager
    def contender(
        network: nn.Module,
        criterion: nn.Module,
        optimizer: torch.optim.Optimizer,
        steps: int,  # noqa: ARG001
    ) -> Iterator[Run]:
        autopsy = Autopsy(network, optimizer=optimizer)
        autopsy.attach()

        def step(inputs: Tensor, targets: Tensor) -> None:
            loss = criterion(network(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            autopsy.step(loss=loss.item())

        yield Run(step)
        autopsy.detach()

    return contender


def cockpit(every: int) -> Callable[[ExitStack], Contender]:
    """Return Cockpit with its cheapest collection of quantities (`economy`), at every `every`-th step."""

    def prepare(stack: ExitStack) -> Contender:  # noqa: ARG001
        warnings.simplefilter("ignore")
        from backpack import extend
        from cockpit import Cockpit
        from cockpit.utils.configuration import configuration
        from cockpit.utils.schedules import linear

        @contextmanager
        def contender(
            network: nn.Module,
            criterion: nn.Module,
            optimizer: torch.optim.Optimizer,
            steps: int,  # noqa: ARG001
        ) -> Iterator[Run]:
            extend(network)
            summed, each = extend(criterion), nn.CrossEntropyLoss(reduction="none")
            quantities = configuration("economy", track_schedule=linear(every))
            tracker, done = Cockpit(network.parameters(), quantities=quantities), 0

            def step(inputs: Tensor, targets: Tensor) -> None:
                nonlocal done
                outputs = network(inputs)
                loss = summed(outputs, targets)
                given: dict[str, Any] = {
                    "batch_size": len(inputs),
                    "individual_losses": each(outputs, targets),
                    "loss": loss,
                    "optimizer": optimizer,
                }
                optimizer.zero_grad()
                with tracker(done, info=given):
                    loss.backward(create_graph=tracker.create_graph(done))
                optimizer.step()
                done += 1

            yield Run(step)

        return contender

    return prepare


def wandb_watch(every: int) -> Callable[[ExitStack], Contender]:
    """Return `wandb.watch(log="all")`, offline: histograms of parameters and gradients at every `every`-th step.

    Only what it costs in the training process is counted; its own service process is not.
    """

    def prepare(stack: ExitStack) -> Contender:
        os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
        import wandb

        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        settings = wandb.Settings(console="off", silent=True, x_disable_stats=True, x_disable_meta=True)
        session = wandb.init(mode="offline", dir=folder, settings=settings)
        stack.callback(session.finish)

        @contextmanager
        def contender(
            network: nn.Module,
            criterion: nn.Module,
            optimizer: torch.optim.Optimizer,
            steps: int,  # noqa: ARG001
        ) -> Iterator[Run]:
            session.watch(network, log="all", log_freq=every)

            def step(inputs: Tensor, targets: Tensor) -> None:
                loss = criterion(network(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                session.log({"loss": loss.item()})

            yield Run(step)
            session.unwatch(network)

        return contender

    return prepare


def tensorboard_histograms(every: int) -> Callable[[ExitStack], Contender]:
    """Return a recorder of TensorBoard histograms of every parameter and gradient, at every `every`-th step."""

    def prepare(stack: ExitStack) -> Contender:
        from torch.utils.tensorboard import SummaryWriter

        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))

        @contextmanager
        def contender(
            network: nn.Module,
            criterion: nn.Module,
            optimizer: torch.optim.Optimizer,
            steps: int,  # noqa: ARG001
        ) -> Iterator[Run]:
            writer, done = SummaryWriter(tempfile.mkdtemp(dir=folder)), 0
            plain = plain_step(network, criterion, optimizer)

            def step(inputs: Tensor, targets: Tensor) -> None:
                nonlocal done
                plain(inputs, targets)
                if done % every == 0:
                    for name, parameter in network.named_parameters():
                        writer.add_histogram(f"weights/{name}", parameter, done)
                        writer.add_histogram(f"gradients/{name}", parameter.grad, done)
                done += 1

            yield Run(step, writer.flush)
            writer.close()

        return contender

    return prepare


_MORTEM = "losses, gradients, activations and weights of every layer, rank at every 50th step"
_COCKPIT = "its `economy` quantities, individual gradients among them"
_HISTOGRAMS = "histograms of every parameter and gradient"

PEERS = {
    "torchmortem": Peer("torchmortem", "torchmortem", _MORTEM, torchmortem),
    "cockpit": Peer("cockpit-for-pytorch", "cockpit", _COCKPIT, cockpit(1)),
    "cockpit, every tenth": Peer("cockpit-for-pytorch", "cockpit", _COCKPIT, cockpit(10)),
    "wandb.watch": Peer("wandb", "wandb", _HISTOGRAMS, wandb_watch(1)),
    "wandb.watch, every tenth": Peer("wandb", "wandb", _HISTOGRAMS, wandb_watch(10)),
    "TensorBoard histograms": Peer("tensorboard", "tensorboard", _HISTOGRAMS, tensorboard_histograms(1)),
    "TensorBoard histograms, every tenth": Peer("tensorboard", "tensorboard", _HISTOGRAMS, tensorboard_histograms(10)),
}
