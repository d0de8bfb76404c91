"""How the step size changes: a pure function of the step, so that nothing needs to be saved or replayed."""

import math
from dataclasses import dataclass

from equipoise.core.recipe import Recipe

ONE_CYCLE_RISE = 0.25
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = 1 / 1000


@dataclass(frozen=True, slots=True)
class Plateau:
    """What the `plateau` schedule has seen.

    Attributes:
        best: Smallest validation loss so far.
        best_epoch: Epoch of that loss, or of the last cut.
        cuts: Cuts so far.
    """

    best: float = math.inf
    best_epoch: int = 0
    cuts: int = 0

    def seen(self, loss: float, epoch: int, recipe: Recipe) -> "Plateau":
        """Return the state after a validation loss; a cut comes after `plateau_patience` epochs without improvement."""
        if loss < self.best - recipe.min_delta:
            return Plateau(loss, epoch, self.cuts)
        if epoch - self.best_epoch >= recipe.plateau_patience:
            return Plateau(self.best, epoch, self.cuts + 1)
        return self


def multiplier(recipe: Recipe, step: int, total: int, steps_per_epoch: int, plateau: Plateau) -> float:
    """Return the factor on the peak learning rate for one step.

    `one-cycle` rises linearly over the first quarter from 1/25 and falls linearly to 1/1000 (Smith and Topin, 2017);
    `cosine` falls to 0 (Loshchilov and Hutter, ICLR 2017). A linear warm-up over `warmup_steps`, or over a share
    `warmup_share` of all steps where that is longer, comes before any of them and shortens them.

    Args:
        recipe: Says the schedule.
        step: Optimiser steps taken, from 0.
        total: Planned steps.
        steps_per_epoch: Optimiser steps an epoch.
        plateau: State of the `plateau` schedule; not looked at by the others.
    """
    warmup = max(recipe.warmup_steps, round(recipe.warmup_share * total))
    if recipe.optimizer == "schedule-free":  # it warms up by itself
        warmup = 0
    if step < warmup:
        return (step + 1) / warmup
    step, total = step - warmup, max(1, total - warmup)
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(step, total) / total))
    if recipe.schedule == "one-cycle":
        return _one_cycle(step, total)
    if recipe.schedule == "step":
        return recipe.step_factor ** (step // (recipe.step_every * steps_per_epoch))
    if recipe.schedule == "plateau":
        return recipe.step_factor**plateau.cuts
    return 1.0


def _one_cycle(step: int, total: int) -> float:
    top, last = max(0.0, ONE_CYCLE_RISE * total - 1), total - 1
    if step < top:
        return ONE_CYCLE_START + (1 - ONE_CYCLE_START) * step / top
    if last <= top:  # a training of one step has no room to fall
        return 1.0
    return 1 + (ONE_CYCLE_END - 1) * min(1.0, (step - top) / (last - top))
