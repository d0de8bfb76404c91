"""What the governor can do to bring a training back into balance, from the smallest to the largest."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from equipoise.core.act import Correction
from equipoise.fit.alarms import Trouble

FACTORS = (1 / 3, 1 / 10, 1 / 100, 1 / 1000)
"""What the learning rate is multiplied by, one after the other."""

WARM_UP = 32
"""Steps over which a lowered rate rises from nothing."""

BEYOND = 30.0
"""A batch whose gradient norm exceeds the largest usual one so many times is left out, like one that is not finite."""

STEP_SHARE = 0.01
"""Where no gradient norm is known to be usual, a plain step may move the weights by this share of their norm."""

LADDERS: dict[Trouble, tuple[Correction, ...]] = {
    Trouble.NOT_FINITE: ("skip-batches", "clip-gradients", *("lower-step",) * len(FACTORS)),
    Trouble.SPIKE: ("skip-batches", "clip-gradients", *("lower-step",) * len(FACTORS)),
    Trouble.DIVERGENCE: ("clip-gradients", *("lower-step",) * len(FACTORS)),
    Trouble.COLLAPSE: ("clip-gradients", *("lower-step",) * 3, "revive-units", "scale-units"),
}
"""What is tried, in this order, for each kind of trouble."""

STILLBORN: tuple[Correction, ...] = ("revive-units", "scale-units", "lower-step", "lower-step")
"""What is tried for a network that was collapsed before its first step, which no step size explains."""


@dataclass(slots=True)
class InForce:
    """Corrections that stay in force from the act on.

    Attributes:
        guard: Whether steps with a gradient that is not finite, or far beyond `largest`, are left out.
        largest: Largest gradient norm that was usual; 0 when unknown.
        limit: Largest gradient norm that is let through; 0 without a limit.
        factor: What the learning rate is multiplied by.
        warm_from: Step from which a lowered rate is warmed up.
        skipped: Steps left out by the guard, a bounded list.
        skips: How many there were.
    """

    guard: bool = False
    largest: float = 0.0
    limit: float = 0.0
    factor: float = 1.0
    warm_from: int = -WARM_UP
    skipped: list[int] = field(default_factory=list)
    skips: int = 0

    @property
    def any(self) -> bool:
        """Whether anything is done to steps at all."""
        return self.guard or self.limit > 0 or self.factor != 1.0 or self.warm_from >= 0

    def rate_factor(self, step: int) -> float:
        """Return what the learning rate of the step after `step` steps is multiplied by."""
        return self.factor * min(1.0, (step - self.warm_from + 1) / WARM_UP)

    @torch.no_grad()
    def let_through(self, gradients: list[Tensor], step: int) -> bool:
        """Clip gradients in place and return whether the step may be taken; waits for the device."""
        if not gradients or not (self.guard or self.limit > 0):
            return True
        norm = float(nn.utils.get_total_norm(gradients))
        if self.guard and (not math.isfinite(norm) or 0 < BEYOND * self.largest < norm):
            self.skips += 1
            self.skipped = [*self.skipped, step + 1][-64:]
            return False
        if 0 < self.limit < norm:
            for gradient in gradients:
                gradient.mul_(self.limit / (norm + 1e-12))
        return True
