"""The loss along a step: how far down it goes, and how far one would have to go for the most."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equipoise.examine.probes.setup import Batch, Loss
from equipoise.examine.probes.stepping import Named

MULTIPLES: tuple[float, ...] = tuple(10.0**k for k in range(-3, 7))
"""Multiples of a step at which the loss is asked first; then half a decade to both sides of the best."""

_SMALL_STEP = 1e-3
_MOST = 0.9
"""Share of the fall that counts as most of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """The loss along one step.

    Attributes:
        cosine: Between the step and the negative gradient of the loss on the step's own samples; 1 is straight down.
        start: Loss before the step, on other samples.
        full: Loss after the whole step, on other samples.
        best: Multiple of the step at which the loss is least, on other samples; 0 where no multiple lowers it.
        least: Loss there.
        near: Smallest multiple that brings nine tenths of that fall: where a loss has no least value, since the classes
            can be told apart ever more surely, the best multiple says nothing.
        own_full: Loss after the whole step, relative to that before, on the step's own samples.
        size: Euclidean length of the step, relative to that of the parameters that it moves.
        falls: Whether a thousandth of the parameters' length along the step lowers the loss on the step's own samples
            more than as much against it.
    """

    cosine: float
    start: float
    full: float
    best: float
    least: float
    near: float
    own_full: float
    size: float
    falls: bool


@dataclass(frozen=True, slots=True, eq=False)
class Slope:
    """A network whose parameters can be put anywhere on a line, and the loss there.

    Attributes:
        network: A copy; its parameters are put back after each use.
        loss: Maps (outputs, targets) to a scalar.
    """

    network: nn.Module
    loss: Loss

    def gradient(self, at: Named, batch: Batch) -> Named:
        """Return the gradient of the loss of a batch at some parameters, in the network's present mode."""
        parameters = dict(self.network.named_parameters())
        kept = {name: one.detach().clone() for name, one in parameters.items()}
        _put(parameters, at)
        wanted = [name for name, one in parameters.items() if one.requires_grad]
        torch.manual_seed(0)
        with torch.enable_grad():
            value = self.loss(self.network(batch[0]), batch[1])
            found = torch.autograd.grad(value, [parameters[name] for name in wanted], allow_unused=True)
        _put(parameters, kept)
        return {name: one.detach() for name, one in zip(wanted, found, strict=True) if one is not None}

    @torch.no_grad()
    def along(self, at: Named, step: Named, batch: Batch, multiples: tuple[float, ...]) -> list[float]:
        """Return the loss of a batch at `at` plus each multiple of a step; dropout draws the same masks each time."""
        parameters = dict(self.network.named_parameters())
        kept = {name: one.detach().clone() for name, one in parameters.items()}
        values: list[float] = []
        for multiple in multiples:
            _put(parameters, {name: one + multiple * step[name] if name in step else one for name, one in at.items()})
            torch.manual_seed(0)
            values.append(float(self.loss(self.network(batch[0]), batch[1])))
        _put(parameters, kept)
        return values


def line_of(slope: Slope, at: Named, step: Named, own: Batch, other: Batch) -> Line:
    """Return how the loss goes along a step.

    Args:
        slope: The network and the loss.
        at: Parameters before the step.
        step: By how much each moved.
        own: The samples that the step was made of.
        other: Other samples.
    """
    gradient = slope.gradient(at, own)
    names = [name for name in gradient if name in step]
    down = torch.cat([-gradient[name].double().flatten() for name in names]) if names else torch.zeros(1)
    taken = torch.cat([step[name].double().flatten() for name in names]) if names else torch.zeros(1)
    lengths = float(down.norm() * taken.norm())
    cosine = float(down @ taken) / lengths if lengths > 0 else 0.0
    weights = torch.cat([at[name].double().flatten() for name in step])
    size = float(taken.norm()) / max(float(weights.norm()), 1e-12)
    start, full, best, least, near = _least(slope, at, step, other)
    small = min(0.1, _SMALL_STEP / max(size, 1e-12))
    own_start, ahead, behind, own_full = slope.along(at, step, own, (0.0, small, -small, 1.0))
    return Line(cosine, start, full, best, least, near, _number(own_full) - own_start, size, ahead < behind)


def _least(slope: Slope, at: Named, step: Named, other: Batch) -> tuple[float, float, float, float, float]:
    """Return `start`, `full`, `best`, `least` and `near` of a line."""
    start, *values = slope.along(at, step, other, (0.0, *MULTIPLES))
    full = _number(values[MULTIPLES.index(1.0)])
    tried = dict(zip(MULTIPLES, map(_number, values), strict=True))
    best = min(tried, key=lambda multiple: tried[multiple])
    sides = (best / 10**0.5, best * 10**0.5)
    tried |= dict(zip(sides, map(_number, slope.along(at, step, other, sides)), strict=True))
    best = min(tried, key=lambda multiple: tried[multiple])
    if tried[best] >= start - 1e-6 * abs(start):
        return start, full, 0.0, start, 0.0
    enough = start - _MOST * (start - tried[best])
    near = min(multiple for multiple in tried if tried[multiple] <= enough)
    between = near / 10**0.5
    if _number(slope.along(at, step, other, (between,))[0]) <= enough:
        near = between
    return start, full, best, tried[best], near


def _number(value: float) -> float:
    """Return infinity in place of what is not a number."""
    return value if value == value else math.inf


@torch.no_grad()
def _put(parameters: dict[str, nn.Parameter], values: Named) -> None:
    for name, value in values.items():
        parameters[name].copy_(value)


def dimension(step: Named) -> int:
    """Return how many numbers a step moves."""
    return sum(one.numel() for one in step.values())


def joined(batches: list[Batch]) -> Batch:
    """Return several batches as one."""
    inputs: Tensor = torch.cat([one[0] for one in batches])
    targets: Tensor = torch.cat([one[1] for one in batches])
    return inputs, targets
