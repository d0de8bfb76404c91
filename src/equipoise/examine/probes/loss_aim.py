"""Whether a loss of unknown formula wants outputs to be their targets, or something else that only it knows."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from equipoise.examine.probes.task import Task

Call = Callable[[Tensor], float]

_FAR = 1e3
_MOST_ROWS = 8


def aims_at_targets(call: Call, dense: Tensor | None, task: Task, sign: int) -> bool:
    """Return whether a loss is least, or greatest, where outputs are their targets.

    Args:
        call: Returns the loss of outputs (n, positions, columns); NaN where it raises.
        dense: Targets in that layout, or None where they do not fit into it.
        task: What the targets look like.
        sign: `LossBehaviour.sign`.
    """
    if dense is None or dense.numel() == 0:
        return False
    if task.kind in ("binary", "multilabel"):
        return sign > 0 or (sign < 0 and _bottomless(call, dense > task.middle))
    if task.categorical and dense.shape[2] > 1:
        return sign != 0 and _tells_columns(call, dense) and _prefers_own_column(call, dense, sign)
    return _peaks_at_targets(call, dense)


def _bottomless(call: Call, yes: Tensor) -> bool:
    """Whether wrong answers, of either kind, lower the loss without end, as they lower the negative of a loss.

    Where the loss of one answer has a floor, high outputs just mean no: they are distances.
    """
    away = torch.where(yes, -_FAR, _FAR).double()
    none = torch.zeros_like(away)
    return all(call(one) < -1.0 for one in (away, torch.where(yes, away, none), torch.where(yes, none, away)))


def _tells_columns(call: Call, dense: Tensor) -> bool:
    """Whether columns have places: a loss of distances between embeddings does not mind their order."""
    drawn = torch.randn(dense.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return not math.isclose(call(drawn), call(drawn.roll(1, 2)), rel_tol=1e-5, abs_tol=1e-9)


def _prefers_own_column(call: Call, dense: Tensor, sign: int) -> bool:
    """Whether no other single column high for a sample costs less (or, turned around, more) than its own."""
    level = 0.05 + 0.9 * dense
    level = level / level.sum(2, keepdim=True)
    base = sign * call(level)
    for row in range(min(_MOST_ROWS, len(level))):
        for turn in range(1, min(dense.shape[2], _MOST_ROWS)):
            moved = level.clone()
            moved[row] = level[row].roll(turn, -1)
            if sign * call(moved) < base - 1e-6 * abs(base):
                return False
    return True


def _peaks_at_targets(call: Call, dense: Tensor) -> bool:
    """Whether moving outputs away from their targets, up and down, near and far, always costs, or always gains."""
    spread = float(dense.std()) if dense.numel() > 1 else 0.0
    size = spread or float(dense.abs().max()) or 1.0
    here = call(dense)
    away = [call(dense + way * by * size) for way in (-1, 1) for by in (0.1, 0.5, 1.0)]
    if not all(math.isfinite(one) for one in (here, *away)):
        return False
    slack = 1e-6 * abs(here) + 1e-9
    return min(away) >= here - slack or max(away) <= here + slack
