"""What is to be learned, told from the targets, the shape of the outputs, and what the loss makes of both."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["classes", "one-hot", "distribution", "binary", "multilabel", "values", "opaque"]

_FEW = 50
_MOST_CLASSES = 256
"""Integer targets with more different values are quantities."""
_NOT_ASKED = -100
"""The label that torch's losses pass over."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task as its targets show it.

    Attributes:
        kind: `classes` (one index a position), `one-hot`, `distribution` (rows that sum to 1), `binary` (two values in
            one column), `multilabel` (several columns of two values), `values`, or `opaque` (only the loss knows what
            targets or outputs mean).
        classes: How many categories or columns there are, as the targets show them; 1 for a single column.
        low, high: Smallest and largest finite target.
        whole: Whether all targets are whole numbers.
        distinct: How many distinct target values there are, at most 51.
        axis: Axis of the outputs that the classes lie on.
        ignored: Labels that the loss passes over, beside all below zero: padding.
    """

    kind: Kind
    classes: int
    low: float
    high: float
    whole: bool
    distinct: int
    axis: int = -1
    ignored: tuple[int, ...] = ()

    @property
    def categorical(self) -> bool:
        """Whether each position belongs to exactly one of several classes that have an output each."""
        return self.kind in ("classes", "one-hot", "distribution")

    @property
    def of_labels(self) -> bool:
        """Whether targets are labels rather than quantities."""
        return self.kind in ("classes", "one-hot", "binary", "multilabel")

    @property
    def middle(self) -> float:
        """What lies between no and yes among targets of two values."""
        return (self.low + self.high) / 2 if self.high > self.low else 0.5


OPAQUE = Task("opaque", 1, 0.0, 0.0, False, 0)
"""A task that only its loss knows."""


def task_of(outputs: Tensor, targets: Tensor) -> Task:
    """Return what kind of task targets (n, ...) set to a network with outputs (m, ...); n and m may differ.

    That is what the targets look like; `meant` says what the loss makes of them.
    """
    values = targets.detach().double()
    values = values[torch.isfinite(values)]
    distinct = values.flatten()[:20000].unique()
    low = float(values.min()) if values.numel() else 0.0
    high = float(values.max()) if values.numel() else 0.0
    whole = bool((values == values.round()).all())
    kind, classes, axis = _kind(outputs, targets, distinct, whole)
    return Task(kind, classes, low, high, whole, min(len(distinct), _FEW + 1), axis)


def _kind(outputs: Tensor, targets: Tensor, distinct: Tensor, whole: bool) -> tuple[Kind, int, int]:
    one, given = tuple(outputs.shape[1:]), tuple(targets.shape[1:])
    width = outputs[0].numel() if len(outputs) else 1
    high = int(distinct.max()) if len(distinct) else 0
    if given in ((), (1,)):
        asked = distinct[distinct != _NOT_ASKED]
        if width > 1 and whole and len(distinct) <= max(_FEW, width) and (asked >= 0).all():
            return "classes", max(high + 1, 1), 1 if outputs.dim() > 2 and outputs.shape[-1] == 1 else -1
        if whole and len(distinct) <= 2 and _two_sided(distinct):
            return "binary", 2, -1
        labels = whole and not targets.is_floating_point() and 1 < high < _MOST_CLASSES and bool((distinct >= 0).all())
        return ("classes", high + 1, -1) if labels and _reused(len(targets), distinct) else ("values", 1, -1)
    axis = _dense_axis(one, given)
    if axis is not None and whole and not targets.is_floating_point():
        return "classes", high + 1, axis
    zero_one = len(distinct) > 0 and bool(((distinct == 0) | (distinct == 1)).all() or (distinct.abs() == 1).all())
    axis = 1 if len(given) > 1 and _sums_to_one(targets, 1) and not _sums_to_one(targets, -1) else -1
    if zero_one:
        one_hot = bool((distinct >= 0).all()) and _sums_to_one(targets, axis)
        return ("one-hot" if one_hot else "multilabel"), targets.shape[axis], axis
    if len(distinct) and (distinct >= 0).all() and _sums_to_one(targets, axis):
        return "distribution", targets.shape[axis], axis
    return "values", targets.shape[axis], axis


def _reused(n: int, distinct: Tensor) -> bool:
    """Whether values come back so often that they look like labels."""
    return n >= 2 * (int(distinct.max()) + 1) or len(distinct) <= max(2, n // 2)


def _two_sided(distinct: Tensor) -> bool:
    """Whether values look like the two answers to a yes-or-no question: 0 and 1, -1 and 1, or any two neighbours."""
    if len(distinct) == 2:
        return float(distinct.max() - distinct.min()) == 1 or distinct.tolist() == [-1.0, 1.0]
    return len(distinct) == 1 and float(distinct[0]) in (-1.0, 0.0, 1.0)


def _dense_axis(one: tuple[int, ...], given: tuple[int, ...]) -> int | None:
    if len(one) != len(given) + 1:
        return None
    if one[1:] == given:
        return 1
    return -1 if one[:-1] == given else None


def _sums_to_one(targets: Tensor, axis: int) -> bool:
    sums = targets.detach().double().sum(axis)
    return targets.shape[axis] > 1 and bool(((sums - 1).abs() < 1e-3).all())


def labels_of(task: Task, targets: Tensor) -> Tensor:
    """Return the category at each position (n, positions) of a task of categories; below 0 where none is asked for."""
    n = len(targets)
    if task.kind in ("one-hot", "distribution"):
        return targets.detach().argmax(task.axis).reshape(n, -1)
    if task.kind == "binary":
        return (targets.detach() > task.middle).long().reshape(n, -1)
    labels = targets.detach().long().reshape(n, -1)
    for one in task.ignored:
        labels = labels.masked_fill(labels == one, -1)
    return labels


def aligned(task: Task, outputs: Tensor, targets: Tensor) -> Tensor | None:
    """Return targets as numbers in the canonical layout (n, positions, columns) of `canonical`, or None.

    Class indices become one-hot rows over the outputs' columns; rows of zeros where no class is asked for.
    """
    if task.kind == "opaque" or len(outputs) != len(targets):
        return None
    shape = canonical(task, outputs).shape
    if task.kind == "classes" and shape[2] > 1:
        index = labels_of(task, targets)
        if index.shape[1] != shape[1] or int(index.max()) >= shape[2]:
            return None
        hot = torch.nn.functional.one_hot(index.clamp_min(0), shape[2]).double()
        return hot * (index >= 0).unsqueeze(2)
    if targets.numel() != outputs.numel():
        return None
    return canonical(task, targets.detach().double().reshape(outputs.shape))


def meant(task: Task, outputs: Tensor, targets: Tensor, *, at_targets: bool, accepts: str) -> Task:
    """Return the task as the loss means it.

    Targets are read as what they look like where outputs have a place for each of them and the loss is least there. A
    likelihood of counts, a distance of pairs or a mean with its variance has another meaning, which only it knows.

    Args:
        task: What the targets look like.
        outputs: Some outputs (n, ...).
        targets: Their targets (n, ...).
        at_targets: Whether the loss is least, or greatest, where outputs are their targets.
        accepts: What the loss wants; `LossBehaviour.accepts`.
    """
    if task.kind == "distribution" and accepts == "values":
        task = replace(task, kind="values")
    if aligned(task, outputs, targets) is None:
        # As many labels as samples, but another number of outputs: what they mean is plain, and the end is wrong.
        one_each = task.kind in ("one-hot", "multilabel") and targets.dim() == 2 and len(outputs) == len(targets)
        return task if one_each else replace(task, kind="opaque")
    return task if at_targets else replace(task, kind="opaque")


def canonical(task: Task, outputs: Tensor) -> Tensor:
    """Return outputs as (n, positions, columns): the classes last, everything else but the samples in one."""
    if outputs.dim() == 1:
        return outputs.reshape(len(outputs), 1, 1)
    moved = outputs.movedim(task.axis, -1)
    return moved.reshape(len(outputs), -1, moved.shape[-1])


def as_outputs(task: Task, values: Tensor, like: Tensor) -> Tensor:
    """Return values in the canonical layout as outputs of the shape and type of `like`."""
    if like.dim() == 1:
        return values.reshape(like.shape).to(like.dtype)
    moved = like.movedim(task.axis, -1).shape
    return values.reshape(moved).movedim(-1, task.axis).to(like.dtype).contiguous()
