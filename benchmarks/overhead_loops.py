"""The loops whose overhead is measured, and what watches them: nothing, nothing again, and `equipoise.watch`."""

import gc
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from benchmarks.workloads import ResidualBlock, convolutional_network, dense_network, residual_network
from torch import Tensor, nn

WINDOW = 64
"""Sampled steps between two readings of `equipoise.watch`: its default."""


def small_residual_network() -> nn.Module:
    """Return the smallest residual network of He et al. (CVPR 2016, section 4.2): 6n + 2 layers with n = 1."""
    blocks = (ResidualBlock(16, 16, 1), ResidualBlock(16, 32, 2), ResidualBlock(32, 64, 2))
    stem = (nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


@dataclass(frozen=True)
class Loop:
    """A training that is timed.

    Attributes:
        title: What it trains, for people.
        network: Makes the network.
        shape: Of one sample.
        steps: Optimiser steps in one timed turn, a multiple of ten.
        every_step: What a turn watched at every step may cost, as a ratio to the bare turn.
        by_default: Whether it is measured when nobody asks for it by name.
    """

    title: str
    network: Callable[[], nn.Module]
    shape: tuple[int, ...]
    steps: int
    every_step: float
    by_default: bool = True


LOOPS = {
    "dense": Loop("dense 784-32-10, batch 32", dense_network, (784,), 640, 1.10),
    "convolutional": Loop(
        "28x28: conv 32, pool, conv 64, pool, conv 64, dense 64, dense 10, batch 32",
        convolutional_network,
        (1, 28, 28),
        40,
        1.06,
    ),
    "residual": Loop("ResNet-8 (16-32-64) on 32x32, batch 32", small_residual_network, (3, 32, 32), 10, 1.06),
    "resnet18": Loop(
        "ResNet-18 in its CIFAR form on 32x32, batch 32", residual_network, (3, 32, 32), 10, 1.06, by_default=False
    ),
}
"""By name; every loop is judged at 1.03 when watched at every tenth step."""

BATCH, SAMPLES, WARM = 32, 1280, 2

Step = Callable[[Tensor, Tensor], None]


@dataclass(frozen=True)
class Run:
    """A training under way.

    Attributes:
        step: Trains one step on a batch of inputs and targets.
        read: Reads what was recorded; called at the end of a turn, timed.
    """

    step: Step
    read: Callable[[], object] = lambda: None


Contender = Callable[[nn.Module, nn.Module, torch.optim.Optimizer, int], AbstractContextManager[Run]]
"""Takes network, loss, optimiser and the steps of a turn; the training lives inside the context."""


def plain_step(network: nn.Module, criterion: nn.Module, optimizer: torch.optim.Optimizer) -> Step:
    """Return the body of the tutorials' loop."""

    def step(inputs: Tensor, targets: Tensor) -> None:
        loss = criterion(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


@contextmanager
def bare(network: nn.Module, criterion: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> Iterator[Run]:  # noqa: ARG001
    """Train with nothing watching."""
    yield Run(plain_step(network, criterion, optimizer))


def watched(every: int) -> Contender:
    """Return the same loop inside `equipoise.watch`.

    A window is as many sampled steps as a turn has, at most the default, so that each turn pays for at least one whole
    reading; where a turn is shorter than the default window this charges more readings than a user would pay for.
    """

    @contextmanager
    def contender(
        network: nn.Module, criterion: nn.Module, optimizer: torch.optim.Optimizer, steps: int
    ) -> Iterator[Run]:
        from equipoise.vitals.watch import watch

        with watch(network, optimizer, every=every, window=min(WINDOW, max(1, steps // every))) as vitals:
            yield Run(plain_step(network, criterion, optimizer), vitals.read)

    return contender


@contextmanager
def imported(network: nn.Module, criterion: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> Iterator[Run]:  # noqa: ARG001
    """Train with nothing watching, in a process that has loaded the code of `equipoise.watch`."""
    from equipoise.vitals.watch import watch

    watch(network, optimizer)  # never opened
    yield Run(plain_step(network, criterion, optimizer))


OURS: dict[str, Contender] = {"bare": bare, "control": bare, "every step": watched(1), "every tenth": watched(10)}
MEMORY: dict[str, Contender] = {"bare": bare, "control": bare, "imported": imported, "every step": watched(1)}


@dataclass(frozen=True)
class Turn:
    """One timed turn.

    Attributes:
        cpu_s: CPU seconds of all threads for one step.
        weights: Check sum over the weights that the turn ended with.
    """

    cpu_s: float
    weights: int


class Bench:
    """One loop with its data and initial weights, the same for every contender and turn."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(SAMPLES, *loop.shape, generator=generator)
        targets = torch.randint(10, (SAMPLES,), generator=generator)
        self._batches = list(zip(inputs.split(BATCH), targets.split(BATCH), strict=True))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self._initial = {name: value.clone() for name, value in loop.network().state_dict().items()}

    def turn(self, contender: Contender, steps: int) -> Turn:
        """Train `steps` steps from the initial weights and time them.

        Making the network and `WARM` steps before (which make the optimiser's state) are not timed; reading what was
        recorded is.
        """
        torch.manual_seed(0)
        network = self._loop.network()
        network.load_state_dict(self._initial)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        batches = [self._batches[i % len(self._batches)] for i in range(steps + WARM)]
        with contender(network, nn.CrossEntropyLoss(), optimizer, steps) as run:
            for inputs, targets in batches[:WARM]:
                run.step(inputs, targets)
            run.read()
            gc.collect()
            begin = time.process_time()
            for inputs, targets in batches[WARM:]:
                run.step(inputs, targets)
            run.read()
            cpu_s = time.process_time() - begin
        flat = torch.cat([one.detach().reshape(-1) for one in network.parameters()])
        return Turn(cpu_s / steps, zlib.crc32(flat.numpy().tobytes()))


def rotate(names: list[str], by: int) -> list[str]:
    """Return the names in rotating order."""
    by %= len(names)
    return names[by:] + names[:by]
