"""Taking steps of the training's own loop and noting what happened to gradients and parameters on the way."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from equipoise.examine.probes.setup import Batch, Running, Setup, take_step

Named = dict[str, Tensor]


@dataclass(slots=True, eq=False)
class Taken:
    """What one call of the loop's step did.

    Attributes:
        batch: The samples it was given.
        loss: What it returned.
        before, after: Parameters by name.
        fresh: What backward passes added up to in this call, by parameter.
        at_steps: Gradients that the optimiser found, each time that it looked: at a step, and after each call of the
            closure of one.
        brought: What backward passes added up to before each of these looks, since the one before it or the start.
        left: What they added up to after the last look.
        at_start: Gradients that were there when the call began.
        trained: Whether each forward pass of the network ran in training mode.
    """

    batch: Batch
    loss: float
    before: Named
    after: Named = field(default_factory=dict)
    fresh: Named = field(default_factory=dict)
    at_steps: list[Named] = field(default_factory=list)
    brought: list[Named] = field(default_factory=list)
    left: Named = field(default_factory=dict)
    at_start: Named = field(default_factory=dict)
    trained: list[bool] = field(default_factory=list)

    def moved(self) -> dict[str, Tensor]:
        """Return by how much each parameter moved, for those that did."""
        return {
            name: now - self.before[name]
            for name, now in self.after.items()
            if name in self.before and not torch.equal(now, self.before[name])
        }


def take_steps(setup: Setup, state: Running, batches: Iterator[Batch] | list[Batch], count: int) -> Iterator[Taken]:
    """Take steps of the training's own loop, one at a time, and yield what each did.

    Args:
        setup: The training.
        state: A copy to use up.
        batches: What the steps are given.
        count: How many at most.
    """
    for batch in itertools.islice(batches, count):
        taken = Taken(batch, 0.0, _values(state.network), at_start=_gradients(state.network))
        with _noting(state.network, state.optimizer, taken):
            taken.loss = float(take_step(setup, state, batch))
        taken.after = _values(state.network)
        yield taken


@contextmanager
def _noting(network: nn.Module, optimizer: Optimizer, taken: Taken) -> Iterator[None]:
    def fresh(name: str) -> Callable[[Tensor], None]:
        def note(gradient: Tensor) -> None:
            kept = gradient.detach().clone()
            for total in (taken.fresh, taken.left):
                total[name] = total[name] + kept if name in total else kept

        return note

    def look() -> None:
        taken.at_steps.append(_gradients(network))
        taken.brought.append(taken.left)
        taken.left = {}

    def looking(closure: Callable[[], object]) -> Callable[[], object]:
        def called() -> object:
            value = closure()
            look()
            return value

        return called

    def at_step(_: Optimizer, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any] | None:
        # The closure of a step makes the gradients, so they are looked at once it was called. The optimiser may stand
        # among the arguments of the hook.
        own = arguments[1:] if arguments and isinstance(arguments[0], Optimizer) else arguments
        closure = own[0] if own else options.get("closure")
        if closure is None:
            look()
            return None
        if own:
            return (*arguments[: len(arguments) - len(own)], looking(closure), *own[1:]), options
        return arguments, options | {"closure": looking(closure)}

    def mode(module: nn.Module, arguments: tuple[object, ...]) -> None:
        del arguments
        taken.trained.append(module.training)

    handles = [one.register_hook(fresh(name)) for name, one in network.named_parameters() if one.requires_grad]
    hooks = [network.register_forward_pre_hook(mode)]
    if isinstance(optimizer, Optimizer):
        hooks.append(optimizer.register_step_pre_hook(at_step))
    try:
        yield
    finally:
        for handle in (*handles, *hooks):
            handle.remove()


def _values(network: nn.Module) -> Named:
    return {name: one.detach().clone() for name, one in network.named_parameters()}


def _gradients(network: nn.Module) -> Named:
    return {name: one.grad.detach().clone() for name, one in network.named_parameters() if one.grad is not None}


def added(one: Named, other: Named) -> Named:
    """Return the sum of two sets of tensors by name."""
    total = dict(one)
    for name, value in other.items():
        total[name] = total[name] + value if name in total else value
    return total


def looks(steps: Iterable[Taken]) -> Iterator[tuple[Named, Named]]:
    """Yield what backward passes brought since the optimiser last looked and what it found, for each of its looks."""
    since: Named = {}
    for taken in steps:
        for brought, found in zip(taken.brought, taken.at_steps, strict=True):
            yield added(since, brought), found
            since = {}
        since = added(since, taken.left)
