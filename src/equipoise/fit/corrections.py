"""What the governor can do to bring a training back into balance, from the smallest to the largest."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from equipoise.core.act import Correction
from equipoise.fit.alarms import Trouble
from equipoise.fit.beginning import ABSURD
from equipoise.fit.together import whole

DIVISORS = (3.0, 10.0, 100.0, 1e4)
"""What the learning rate is divided by, one after the other: a search whose strides grow."""

LOWEST = 1e-12
"""The learning rate is not lowered any further than to this share of what was planned."""

WARM_UP = 32
"""Steps over which a lowered rate rises from nothing."""

BEYOND = 30.0
"""A batch whose gradient norm exceeds the largest usual one so many times is left out, like one that is not finite."""

LOWER: tuple[Correction, ...] = ("lower-step",) * len(DIVISORS)

LADDERS: dict[Trouble, tuple[Correction, ...]] = {
    Trouble.NOT_FINITE: ("skip-batches", "clip-gradients", *LOWER),
    Trouble.SPIKE: ("skip-batches", "clip-gradients", *LOWER),
    Trouble.DIVERGENCE: ("clip-gradients", *LOWER),
    Trouble.COLLAPSE: ("clip-gradients", *LOWER[:3], "revive-units", "scale-units"),
}
"""What is tried, in this order, for each kind of trouble."""

STILLBORN: tuple[Correction, ...] = ("revive-units", "scale-units", *LOWER[:2])
"""What is tried for a network that was collapsed before its first step, which no step size explains."""

THROWN: tuple[Correction, ...] = ("lower-step", "clip-gradients", *LOWER[1:], "skip-batches")
"""What is tried when the very first step was absurd, and nothing is known yet that would be usual."""


@dataclass(slots=True)
class InForce:
    """Corrections that stay in force from the act on.

    Attributes:
        guard: Whether steps with a gradient that is not finite, or far beyond `largest`, are left out.
        largest: Largest gradient norm that was usual; 0 when unknown.
        limit: Largest gradient norm that is let through; 0 without a limit.
        factor: What the learning rate is multiplied by.
        lowered: How often it was divided.
        warm_from: Step from which a lowered rate is warmed up.
        skipped: Steps left out by the guard, a bounded list.
        skips: How many there were.
    """

    guard: bool = False
    largest: float = 0.0
    limit: float = 0.0
    factor: float = 1.0
    lowered: int = 0
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

    @property
    def may_lower(self) -> bool:
        """Whether the learning rate can be divided once more."""
        return self.lowered < len(DIVISORS) and self.factor > LOWEST

    def lower(self, first_move: float) -> None:
        """Divide the learning rate by the next divisor, from where the first step is not absurd on.

        Args:
            first_move: Distance of the very first step as a share of the norm of the weights; 0 when unknown.
        """
        sane = min(self.factor, ABSURD / first_move) if first_move > ABSURD else self.factor
        self.factor = max(LOWEST, sane / DIVISORS[self.lowered])
        self.lowered += 1

    @torch.no_grad()
    def let_through(self, gradients: list[Tensor], step: int) -> bool:
        """Clip gradients in place and return whether the step may be taken; waits for the device."""
        if not gradients or not (self.guard or self.limit > 0):
            return True
        norm = float(whole(nn.utils.get_total_norm(gradients)))
        if self.guard and (not math.isfinite(norm) or 0 < BEYOND * self.largest < norm):
            self.skips += 1
            self.skipped = [*self.skipped, step + 1][-64:]
            return False
        if 0 < self.limit < norm:
            for gradient in gradients:
                gradient.mul_(self.limit / (norm + 1e-12))
        return True
