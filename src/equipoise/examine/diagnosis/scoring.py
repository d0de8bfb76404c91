"""How good a network's outputs are, whatever its loss: the honest score of a task that its targets tell of."""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equipoise.examine.probes.setup import Loss
from equipoise.examine.probes.task import Task, canonical, labels_of

_UNEVEN = 1.5
"""Classes whose weights differ by less than this factor weigh alike."""

_WORST = -20.0
"""Least quality of a sample, so that one wild row does not stand for all of them."""


def threshold(loss: Loss, outputs: Tensor, targets: Tensor, task: Task) -> float:
    """Return the output at which a loss is the same for a target of no and of yes.

    Halfway between the two targets where the loss cannot tell.

    Args:
        loss: The user's loss.
        outputs: Some outputs, for their shape and type.
        targets: The targets that belong to them.
        task: Says which two values targets have.
    """
    sides = (task.low, task.high) if task.high > task.low else (0.0, 1.0)
    middle = sum(sides) / 2
    grid = [-4.0, -1.0, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 4.0]
    gaps: list[tuple[float, float]] = []
    for level in grid:
        try:
            values = [float(loss(torch.full_like(outputs, level), torch.full_like(targets, one))) for one in sides]
        except Exception:  # a loss may refuse anything
            continue
        if np.isfinite(values).all():
            gaps.append((level, values[1] - values[0]))
    signs = [(a, b) for a, b in itertools.pairwise(gaps) if a[1] * b[1] <= 0 and a[1] != b[1]]
    if not signs:
        return middle
    (low, above), (high, below) = signs[0]
    return middle if low < middle < high or below == above else low + (high - low) * above / (above - below)


def class_weights(loss: Loss, outputs: Tensor, targets: Tensor, task: Task) -> Tensor | None:
    """Return how much each class weighs in a loss (classes,), 1 in the mean; None where all weigh alike.

    Told by its gradient at outputs that favour no class, over one sample of each: how strongly it asks for their own.

    Args:
        loss: The user's loss.
        outputs: Some outputs (n, classes).
        targets: The targets that belong to them.
        task: What the targets ask for.
    """
    labels = labels_of(task, targets) if task.categorical else torch.empty(0, 0)
    if labels.shape[1:] != (1,) or outputs.dim() != 2 or outputs.shape[1] < 2 or not outputs.is_floating_point():
        return None
    classes = [one for one in labels.unique().tolist() if 0 <= one < outputs.shape[1]]
    picked = [int((labels[:, 0] == one).nonzero()[0]) for one in classes]
    level = torch.full_like(outputs[picked].detach(), 1 / outputs.shape[1]).requires_grad_()
    try:
        with torch.enable_grad():
            (asked,) = torch.autograd.grad(torch.as_tensor(loss(level, targets[picked])), [level])
    except Exception:  # a loss may refuse anything
        return None
    own = asked.abs()[torch.arange(len(classes)), classes].double()
    if len(classes) < 2 or not bool(torch.isfinite(own).all()) or float(own.min()) * _UNEVEN >= float(own.max()):
        return None
    weights = torch.ones(outputs.shape[1], dtype=torch.float64)
    weights[classes] = own / own.mean()
    return weights


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """How good outputs are on some samples.

    Attributes:
        quality: (n,) per sample, higher is better: 1 for right and 0 for wrong; for quantities 1 minus the squared
            error over the variance of the targets; bounded below. The mean is what is meant by the score.
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
        """How far the score is from chance (0) to perfect (1); at most 0 where a constant answer is perfect."""
        if self.chance > 1 - 1e-9:
            return min(0.0, self.value - self.chance)
        return (self.value - self.chance) / (1 - self.chance)


def score(task: Task, outputs: Tensor, targets: Tensor, cut: float, weights: Tensor | None = None) -> Score:
    """Return how good outputs are.

    Args:
        task: What the targets ask for.
        outputs: What the network puts out (n, ...); not finite counts as wrong. Whole numbers in place of one score a
            class are answers.
        targets: What it should (n, ...).
        cut: Output above which the answer to a question of yes or no is yes.
        weights: How much a sample of each class counts (classes,); alike without it.
    """
    out = torch.nan_to_num(outputs.detach().double(), nan=0.0, posinf=1e30, neginf=-1e30)
    wanted = targets.detach().double()
    if task.categorical or task.kind == "binary":
        answers = _answers(task, out, targets, cut, given=not outputs.is_floating_point())
        return _score_classes(answers, labels_of(task, targets), weights)
    if task.kind == "opaque" or out.numel() != wanted.numel():
        return _nothing(len(wanted))
    out, wanted = out.reshape(len(wanted), -1), wanted.reshape(len(wanted), -1)
    if task.kind == "multilabel":
        yes = wanted > task.middle
        right = ((out > cut) == yes).double().mean(1).numpy()
        rate = yes.double().mean(0)
        return Score(right, float(torch.maximum(rate, 1 - rate).mean()), float(right.mean()))
    return _score_values(out, wanted)


def _nothing(n: int) -> Score:
    """Return the score of outputs that no target belongs to."""
    return Score(np.zeros(n), 0.0, 0.0)


def _score_values(out: Tensor, wanted: Tensor) -> Score:
    variance = wanted.var(0, correction=0)
    alive = variance > 1e-10 * torch.maximum(variance.max(), 1e-4 * wanted.square().mean())
    if bool(alive.any()):  # a column that is the same for every sample asks for nothing
        quality = 1 - ((out - wanted)[:, alive].square() / variance[alive]).mean(1)
    else:
        quality = 1 - (out - wanted).square().mean(1) / float(wanted.square().mean() or 1.0)
    kept = quality.clamp_min(_WORST).numpy()
    return Score(kept, 0.0 if bool(alive.any()) else 1.0, float(kept.mean()))


def _answers(task: Task, out: Tensor, targets: Tensor, cut: float, *, given: bool) -> Tensor:
    """Return the category that outputs say for each position (n, positions)."""
    scores = canonical(task, out)
    if scores.shape[2] > 1 and scores.shape[1] == labels_of(task, targets[:1]).shape[1]:
        # A row whose outputs are all alike answers nothing.
        alike = (scores == scores[:, :, :1]).all(2)
        return scores.argmax(2).masked_fill(alike, -2)
    flat = out.reshape(len(out), -1)
    return flat.long() if given and task.categorical else (flat > cut).long()


def _score_classes(answers: Tensor, labels: Tensor, weights: Tensor | None) -> Score:
    asked = labels >= 0
    if answers.shape != labels.shape or not bool(asked.any()):
        return _nothing(len(labels))
    right = ((answers == labels) & asked).double()
    share = float(right.sum() / asked.sum())
    quality = torch.where(asked.any(1), right.sum(1) / asked.sum(1).clamp_min(1), torch.tensor(share).double())
    counts = torch.bincount(labels[asked]).double()
    if weights is not None and len(counts) <= len(weights):  # labels have one position then
        counts *= weights[: len(counts)]
        quality = quality * weights[labels[:, 0].clamp_min(0)] * float(asked.sum() / counts.sum())
    recalls = [float(right[labels == one].mean()) for one in counts.nonzero().flatten().tolist()]
    return Score(quality.numpy(), float(counts.max() / counts.sum()), float(np.mean(recalls)))


def gain(before: Score, after: Score) -> tuple[float, float]:
    """Return by how much the mean quality rose, and how many standard errors that is (paired over the samples)."""
    difference = after.quality - before.quality
    error = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else np.inf
    mean = float(difference.mean())
    return mean, mean / error if error > 0 else (np.inf if mean > 0 else 0.0)
