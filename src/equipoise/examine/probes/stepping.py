"""Taking steps of the training's own loop and noting what happened to gradients and parameters on the way."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

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
        at_steps: Gradients found by each optimiser step of this call.
        at_start: Gradients that were there when the call began.
        trained: Whether each forward pass of the network ran in training mode.
    """

    batch: Batch
    loss: float
    before: Named
    after: Named = field(default_factory=dict)
    fresh: Named = field(default_factory=dict)
    at_steps: list[Named] = field(default_factory=list)
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
            taken.fresh[name] = taken.fresh[name] + kept if name in taken.fresh else kept

        return note

    def at_step(_: Optimizer, arguments: tuple[object, ...], options: dict[str, object]) -> None:
        del arguments, options
        taken.at_steps.append(_gradients(network))

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


def held(optimizer: Optimizer) -> set[int]:
    """Return the ids of the parameters that an optimiser holds."""
    groups = getattr(optimizer, "param_groups", [])
    return {id(one) for group in groups for one in group["params"]}
