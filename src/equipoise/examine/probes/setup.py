"""What is trained, on what, and by which loop; and a running copy of it that an experiment may use up."""

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Loss = Callable[[Tensor, Tensor], Tensor]
MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
Batch = tuple[Tensor, Tensor]
Step = Callable[[nn.Module, Optimizer, Batch], Tensor]
Begin = Callable[[], tuple[nn.Module, Optimizer]]
Evaluate = Callable[[nn.Module, Tensor], Tensor]


class CannotRestartError(Exception):
    """Raised when an experiment must start the loop anew and cannot; the message is the reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """A training as its user wrote it.

    Attributes:
        network: The network as it was handed over.
        loss: Maps (outputs, targets) to a scalar.
        optimizer: An optimiser, or a function that makes one of parameters.
        train: Inputs (n, ...) and targets (n, ...).
        validation: The same for held-out data, or None.
        batch_size: Samples a step.
        epochs: Passes over the training data.
        shuffle: Whether the rows are drawn in a new order every epoch.
        step: The user's own loop body, or None for the plain one.
        begin: Makes a fresh network and optimiser for that loop body, or None.
        evaluate: The user's own evaluation, or None for the plain one.
    """

    network: nn.Module
    loss: Loss
    optimizer: Optimizer | MakeOptimizer
    train: Batch
    validation: Batch | None = None
    batch_size: int = 32
    epochs: int = 10
    shuffle: bool = True
    step: Step | None = None
    begin: Begin | None = None
    evaluate: Evaluate | None = None


@dataclass(slots=True, eq=False)
class Running:
    """A copy of a training that an experiment may use up: its own network and optimiser."""

    network: nn.Module
    optimizer: Optimizer


def running(setup: Setup) -> Running:
    """Return a copy of the training as it was handed over: plain loop, own network, own optimiser.

    Raises:
        CannotRestartError: The network cannot be copied.
    """
    given = setup.optimizer
    try:
        if isinstance(given, Optimizer):
            network, optimizer = copy.deepcopy((setup.network, given))
            return Running(network, optimizer)
        network = copy.deepcopy(setup.network)
    except Exception as problem:  # a network may hold anything
        raise CannotRestartError(f"the network cannot be copied: {problem}") from problem
    return Running(network, given(network.parameters()))


def restarted(setup: Setup) -> Running:
    """Return a fresh start of the user's own loop.

    Raises:
        CannotRestartError: The loop is the user's own and there is no `begin`.
    """
    if setup.begin is not None:
        return Running(*setup.begin())
    if setup.step is not None:
        raise CannotRestartError("the loop has a step of its own and no `begin` that starts it anew")
    return running(setup)


def plain_step(loss: Loss, network: nn.Module, optimizer: Optimizer, batch: Batch) -> Tensor:
    """Take one step as it should be and return the loss, detached."""
    inputs, targets = batch
    optimizer.zero_grad()
    value = loss(network(inputs), targets)
    value.backward()
    optimizer.step()
    return value.detach()


def take_step(setup: Setup, state: Running, batch: Batch) -> Tensor:
    """Take one step of the training's own loop and return the loss, detached."""
    if setup.step is None:
        return plain_step(setup.loss, state.network, state.optimizer, batch)
    return torch.as_tensor(setup.step(state.network, state.optimizer, batch)).detach()


def rows(data: Batch, picked: Tensor | slice) -> Batch:
    """Return some rows of inputs and targets."""
    return data[0][picked], data[1][picked]


def batches(setup: Setup, generator: torch.Generator, epochs: int | None = None) -> Iterator[Batch]:
    """Yield the batches of the training, in the order of its own loop."""
    n = len(setup.train[0])
    for _ in range(setup.epochs if epochs is None else epochs):
        order = torch.randperm(n, generator=generator) if setup.shuffle else torch.arange(n)
        for start in range(0, n, setup.batch_size):
            yield rows(setup.train, order[start : start + setup.batch_size])


@contextmanager
def experiment(seed: int = 0) -> Iterator[None]:
    """Seed the global random states for an experiment, and put them and the gradient mode back afterwards."""
    numbers, plain, gradients = np.random.get_state(), random.getstate(), torch.is_grad_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        torch.set_grad_enabled(True)
        try:
            yield
        finally:
            torch.set_grad_enabled(gradients)
            np.random.set_state(numbers)
            random.setstate(plain)
