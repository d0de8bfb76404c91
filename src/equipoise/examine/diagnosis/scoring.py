"""How good a network's outputs are, whatever its loss: the honest score of a task that only the targets tell of."""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from equipoise.examine.probes.setup import Loss

Kind = Literal["classes", "one-hot", "binary", "multilabel", "regression"]

MOST_CLASSES = 256
"""Integer targets with more different values are quantities."""


@dataclass(frozen=True, slots=True, eq=False)
class Goal:
    """What the targets ask for.

    Attributes:
        kind: `classes` for integer labels, `one-hot` for rows with a single 1, `binary` for one column of 0 and 1,
            `multilabel` for several such columns, else `regression`.
        classes: Number of classes, or of columns.
        middle: (columns,) mean of the training targets, for regression.
        spread: (columns,) standard deviation of the training targets, for regression.
    """

    kind: Kind
    classes: int
    middle: np.ndarray
    spread: np.ndarray

    @property
    def is_classification(self) -> bool:
        """Whether every sample has one class."""
        return self.kind in ("classes", "one-hot", "binary")


def goal_of(targets: Tensor, outputs: Tensor) -> Goal:
    """Return what targets ask for.

    Args:
        targets: Training targets (n, ...).
        outputs: What the network puts out for some samples (m, ...); tells integer labels from integer quantities.
    """
    flat = targets.detach().double().reshape(len(targets), -1)
    columns = flat.shape[1]
    middle, spread = flat.mean(0).numpy(), flat.std(0).clamp_min(1e-12).numpy()
    whole = bool((flat == flat.round()).all()) and bool((flat >= 0).all())
    if columns == 1:
        count = int(flat.max().item()) + 1 if whole else 0
        wide = outputs.ndim == 2 and outputs.shape[1] > 1
        if whole and count <= 2 and len(flat.unique()) == 2 and not wide:
            return Goal("binary", 2, middle, spread)
        if whole and 2 <= count <= MOST_CLASSES and (wide or not targets.is_floating_point()) and _reused(flat, count):
            return Goal("classes", max(count, outputs.shape[1] if wide else count), middle, spread)
        return Goal("regression", 1, middle, spread)
    if whole and bool((flat <= 1).all()):
        one_hot = bool((flat.sum(1) == 1).all())
        return Goal("one-hot" if one_hot else "multilabel", columns, middle, spread)
    return Goal("regression", columns, middle, spread)


def _reused(values: Tensor, count: int) -> bool:
    return len(values) >= 2 * count or len(values.unique()) <= max(2, len(values) // 2)


def threshold(loss: Loss, outputs: Tensor, targets: Tensor) -> float:
    """Return the output at which a loss is the same for a target of 0 and of 1: between no and yes.

    0.5 where the loss cannot tell.

    Args:
        loss: The user's loss.
        outputs: Some outputs, for their shape and type.
        targets: The targets that belong to them.
    """
    grid = [-4.0, -1.0, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 4.0]
    gaps: list[tuple[float, float]] = []
    for level in grid:
        try:
            values = [float(loss(torch.full_like(outputs, level), torch.full_like(targets, one))) for one in (0, 1)]
        except Exception:  # a loss may refuse anything
            continue
        if np.isfinite(values).all():
            gaps.append((level, values[1] - values[0]))
    signs = [(a, b) for a, b in itertools.pairwise(gaps) if a[1] * b[1] <= 0 and a[1] != b[1]]
    if not signs:
        return 0.5
    (low, above), (high, below) = signs[0]
    return 0.5 if low < 0.5 < high or below == above else low + (high - low) * above / (above - below)


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """How good outputs are on some samples.

    Attributes:
        quality: (n,) per sample, higher is better: 1 for right and 0 for wrong; for regression 1 minus the squared
            error over the variance of the targets, at least -1; the mean is what is meant by the score.
        chance: What the best constant answer scores.
        balanced: Mean over classes of the share that is right; the same as the mean of `quality` for other tasks.
    """

    quality: np.ndarray
    chance: float
    balanced: float

    @property
    def value(self) -> float:
        """The mean quality."""
        return float(self.quality.mean())

    @property
    def skill(self) -> float:
        """How far the score is from chance (0) to perfect (1)."""
        return (self.value - self.chance) / max(1e-9, 1 - self.chance)


def score(goal: Goal, outputs: Tensor, targets: Tensor, cut: float) -> Score:
    """Return how good outputs are.

    Args:
        goal: What the targets ask for.
        outputs: What the network puts out (n, ...); not finite counts as wrong.
        targets: What it should (n, ...).
        cut: Output above which the answer to a binary question is yes.
    """
    out = torch.nan_to_num(outputs.detach().double(), nan=0.0, posinf=1e30, neginf=-1e30)
    wanted = targets.detach().double().reshape(len(targets), -1)
    out = out.reshape(len(out), -1)
    if goal.is_classification:
        return _score_classes(goal, out, wanted, cut)
    if out.shape != wanted.shape:
        return Score(np.zeros(len(wanted)), 0.0, 0.0)
    if goal.kind == "multilabel":
        right = ((out > cut) == (wanted > 0.5)).double().mean(1).numpy()
        rate = wanted.mean(0)
        return Score(right, float(torch.maximum(rate, 1 - rate).mean()), float(right.mean()))
    variance = wanted.var(0, correction=0).clamp_min(1e-12)
    quality = 1 - ((out - wanted).square() / variance).mean(1)
    # Bounded, so that one wild row does not stand for all of them.
    kept = quality.clamp_min(-20.0).numpy()
    return Score(kept, 0.0, float(kept.mean()))


def _score_classes(goal: Goal, out: Tensor, wanted: Tensor, cut: float) -> Score:
    labels = wanted.argmax(1) if wanted.shape[1] > 1 else wanted.reshape(-1).long()
    if out.shape[1] > 1:
        # A row whose outputs are all alike answers nothing.
        answers = torch.where((out == out[:, :1]).all(1), torch.full_like(labels, -1), out.argmax(1))
    else:
        answers = (out.reshape(-1) > cut).long()
    if len(answers) != len(labels):
        return Score(np.zeros(len(labels)), 0.0, 0.0)
    right = (answers == labels).double().numpy()
    counts = torch.bincount(labels.clamp_min(0), minlength=goal.classes)
    present = [one for one in range(len(counts)) if counts[one] > 0]
    recalls = [float(right[(labels == one).numpy()].mean()) for one in present]
    return Score(right, float(counts.max() / counts.sum()), float(np.mean(recalls)))


def gain(before: Score, after: Score) -> tuple[float, float]:
    """Return by how much the mean quality rose, and how many standard errors that is (paired over the samples)."""
    difference = after.quality - before.quality
    error = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else np.inf
    mean = float(difference.mean())
    return mean, mean / error if error > 0 else (np.inf if mean > 0 else 0.0)
