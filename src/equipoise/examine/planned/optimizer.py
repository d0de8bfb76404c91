"""The optimiser of a recipe as one that any plain loop can use."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from equipoise.core.recipe import Recipe
from equipoise.fit.optimizers import Stepper, build_stepper, weights_of
from equipoise.fit.penalties import add_penalties
from equipoise.fit.schedules import Plateau, multiplier


class PlannedOptimizer(torch.optim.Optimizer):
    """A recipe's optimiser with its schedule, clipping and penalties, so that a plain loop does what `fit` does.

    The groups are those of the optimisers that `fit` would build; a learning rate that is changed before the first step
    scales the whole schedule. It is made anew for every run and never copied. The `plateau` schedule stays at its peak,
    since a plain loop does not validate.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        recipe: Recipe,
        *,
        total_steps: int,
        steps_per_epoch: int,
        hidden: frozenset[int] = frozenset(),
    ) -> None:
        """Build it.

        Args:
            parameters: The trained parameters, in the network's order.
            recipe: Optimiser, learning rate, schedule, clipping and penalties.
            total_steps: Planned steps, at least 1.
            steps_per_epoch: Steps an epoch, at least 1.
            hidden: Positions of the parameters that Muon takes; see `positions_of_hidden`.
        """
        given = list(parameters)
        self._recipe, self._total, self._per_epoch = recipe, total_steps, steps_per_epoch
        self._stepper = stepper_of(recipe, given, hidden)
        self._taken = 0
        self._rates: list[float] = []
        super().__init__(given, {"lr": recipe.learning_rate})
        self.param_groups = [group for part in self._stepper.parts for group in part.param_groups]
        self._stepper.train()

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyrefly: ignore[bad-override]
        """Take one step with the gradients that are there; they stay.

        Raises:
            ValueError: A closure came; a recipe's optimisers take none.
        """
        if closure is not None:
            raise ValueError(
                "got a closure; expected none, since a step takes the gradients. Call backward before step."
            )
        recipe, parameters = self._recipe, self._stepper.parameters
        gradients = [parameter.grad for parameter in parameters]
        if recipe.l1 or recipe.l2:
            add_penalties(weights_of(parameters), recipe.l1, recipe.l2)
        if recipe.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(parameters, recipe.max_grad_norm)
        self._set_rates()
        self._stepper.step()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self._taken += 1

    def _set_rates(self) -> None:
        if not self._rates:
            self._rates = [float(group["lr"]) for group in self.param_groups]
        factor = multiplier(self._recipe, self._taken, self._total, self._per_epoch, Plateau())
        for group, rate in zip(self.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor


def stepper_of(recipe: Recipe, parameters: list[nn.Parameter], hidden: frozenset[int]) -> Stepper:
    """Return the optimisers of a recipe for bare parameters; `hidden` as in `PlannedOptimizer`."""
    return build_stepper(recipe, _Named(parameters, hidden), torch.device("cpu"))


def is_plain(recipe: Recipe, stepper: Stepper) -> bool:
    """Return whether a recipe's optimiser is a plain one: a single part, and nothing done around its steps."""
    around = recipe.l1 or recipe.l2 or recipe.max_grad_norm is not None or recipe.warmup_steps
    scheduled = recipe.schedule not in ("constant", "plateau") or recipe.optimizer == "schedule-free"
    return not around and not scheduled and len(stepper.parts) == 1 and not stepper.views and not stepper.decayed


def positions_of_hidden(stepper: Stepper, parameters: Iterable[nn.Parameter]) -> frozenset[int]:
    """Return the positions of the parameters that a Muon stepper gives to Muon; empty for other steppers."""
    if not any(isinstance(part, torch.optim.Muon) for part in stepper.parts):
        return frozenset()
    taken = {id(one) for group in stepper.parts[0].param_groups for one in group["params"]}
    taken.update(id(kernel) for kernel, _ in stepper.views)
    return frozenset(place for place, one in enumerate(parameters) if id(one) in taken)


class _Named(nn.Module):
    """Parameters as a network without layers, in which those at the hidden places are called weights."""

    def __init__(self, parameters: list[nn.Parameter], hidden: frozenset[int]) -> None:
        super().__init__()
        for place, one in enumerate(parameters):
            self.register_parameter(f"{'weight' if place in hidden else 'other'}_{place}", one)
