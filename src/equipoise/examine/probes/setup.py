"""What is trained, on what, and by which loop; and a running copy of it that an experiment may use up."""

import contextlib
import copy
import functools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from equipoise.examine.probes.optimizers import MakeOptimizer, held, optimizer_like

Loss = Callable[[Tensor, Tensor], Tensor]
Batch = tuple[Tensor, Tensor]
Step = Callable[[nn.Module, Optimizer, Batch], Tensor]
Begin = Callable[[], tuple[nn.Module, Optimizer]]
Evaluate = Callable[[nn.Module, Tensor], Tensor]

LAZY = (nn.UninitializedParameter, nn.UninitializedBuffer)
"""What a layer holds whose shape its first inputs tell."""


class CannotRestartError(Exception):
    """Raised when an experiment must start the loop anew and cannot; the message is the reason."""


class BadBeginError(ValueError):
    """Raised when the user's `begin` returns anything but a network and its optimiser."""


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
        opaque: Whether targets are numbers of rows, which only the loss and the own step can look up.
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
    opaque: bool = False


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
    try:
        network = copy.deepcopy(setup.network)
    except Exception as problem:  # a network may hold anything
        raise CannotRestartError(f"the network cannot be copied: {problem}") from problem
    _materialise(network, setup)
    given = setup.optimizer
    if isinstance(given, Optimizer):
        return Running(network, _with_state(optimizer_like(given, setup.network)(network.parameters()), given))
    made = given(network.parameters())
    originals = {id(one) for one in setup.network.parameters()}
    if held(made) & originals:  # the function knows the network itself, and does not look at what it is given
        made = optimizer_like(made, setup.network)(network.parameters())
    return Running(network, made)


def _with_state(optimizer: Optimizer, given: Optimizer) -> Optimizer:
    """Return an optimiser with the state of another one, where both hold as many parameters."""
    sizes = [[len(group["params"]) for group in one.param_groups] for one in (optimizer, given)]
    if given.state and sizes[0] == sizes[1]:
        optimizer.load_state_dict(copy.deepcopy(given.state_dict()))
    return optimizer


def restarted(setup: Setup) -> Running:
    """Return a fresh start of the user's own loop.

    Raises:
        CannotRestartError: The loop is the user's own and there is no `begin`.
    """
    if setup.begin is not None:
        state = Running(*begun(setup.begin))
        _materialise(state.network, setup)
        return state
    if setup.step is not None:
        raise CannotRestartError("the loop has a step of its own and no `begin` that starts it anew")
    return running(setup)


def begun(begin: Begin) -> tuple[nn.Module, Optimizer]:
    """Return what the user's `begin` makes.

    Raises:
        BadBeginError: It is no network with its optimiser.
    """
    made: object = begin()
    match made:
        case (nn.Module() as network, Optimizer() as optimizer):
            return network, optimizer
    came = f"({', '.join(type(one).__name__ for one in made)})" if isinstance(made, tuple) else type(made).__name__
    raise BadBeginError(
        f"got {came} from begin; expected (network, optimizer), fresh ones at every call. Return both from begin()."
    )


def contained(step: Step) -> Step:
    """Return a step that raises where the user's would end the whole program."""

    @functools.wraps(step)
    def inside(network: nn.Module, optimizer: Optimizer, batch: Batch) -> Tensor:
        try:
            return step(network, optimizer, batch)
        except SystemExit as problem:
            raise RuntimeError(f"the step ended the whole program: SystemExit({problem.code!r})") from problem

    return inside


def plain_step(loss: Loss, network: nn.Module, optimizer: Optimizer, batch: Batch) -> Tensor:
    """Take one step as it should be and return the loss, detached."""
    inputs, targets = batch

    def backward() -> Tensor:
        optimizer.zero_grad()
        value = loss(network(inputs), targets)
        value.backward()
        return value.detach()

    if isinstance(optimizer, torch.optim.LBFGS):  # takes several backward passes a step
        return torch.as_tensor(optimizer.step(backward))
    value = backward()
    optimizer.step()
    return value


def take_step(setup: Setup, state: Running, batch: Batch) -> Tensor:
    """Take one step of the training's own loop and return the loss, detached.

    Where the user's own step does not return it, the loss of its batch after the step stands in.

    Raises:
        CannotRestartError: The step does not return the loss, and it cannot be computed from outside.
    """
    if setup.step is None:
        return plain_step(setup.loss, state.network, state.optimizer, batch)
    returned = setup.step(state.network, state.optimizer, batch)
    told = number_told(returned)
    return _loss_of(setup, state.network, batch, returned) if told is None else told


def number_told(returned: object) -> Tensor | None:
    """Return the one number that a step returned, detached; None where it is no number."""
    if isinstance(returned, Tensor):
        return returned.detach().reshape(()) if returned.numel() == 1 else None
    return torch.tensor(float(returned)) if isinstance(returned, (int, float, np.number)) else None


@torch.no_grad()
def _loss_of(setup: Setup, network: nn.Module, batch: Batch, returned: object) -> Tensor:
    modes = [(module, module.training) for module in network.modules()]
    try:
        return torch.as_tensor(setup.loss(network.eval()(batch[0]), batch[1])).mean()
    except Exception as problem:  # the loop may feed its network in a way of its own
        raise CannotRestartError(
            f"the step returns {type(returned).__name__} and not the loss, which cannot be computed without it"
        ) from problem
    finally:
        for module, training in modes:
            module.training = training


def _materialise(network: nn.Module, setup: Setup) -> None:
    """Give lazy layers their shapes by one forward pass, with the same weights for every copy."""
    if not any(isinstance(one, LAZY) for one in (*network.parameters(), *network.buffers())):
        return
    modes = [(module, module.training) for module in network.modules()]
    with torch.random.fork_rng(), torch.no_grad(), contextlib.suppress(Exception):  # a network may raise anything
        torch.manual_seed(0)
        network.eval()(setup.train[0][:2].clone())
    for module, training in modes:
        module.training = training


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
