"""Losses on the body's scores: which one a task takes, and how it is computed."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from equipoise.core.recipe import Loss, Recipe
from equipoise.core.signature import TaskKind
from equipoise.data.samples import IGNORED

Criterion = Callable[[Tensor, Tensor], Tensor]
"""Scores and targets to the mean loss, a scalar."""

SUITABLE: dict[TaskKind, tuple[Loss, ...]] = {
    "binary": ("binary-cross-entropy", "cross-entropy", "focal"),
    "multiclass": ("cross-entropy", "focal"),
    "multilabel": ("binary-cross-entropy", "focal"),
    "sequence-labelling": ("cross-entropy", "focal"),
    "regression": ("mse", "mae", "huber"),
    "reconstruction": ("mse", "mae", "huber"),
    "clustering": ("mse", "mae", "huber"),
    "generation": ("adversarial",),
}
"""Losses that make sense for a task; the first is what `auto` takes. For a binary task the two entropies are one."""

_CLASSES = ("binary", "multiclass", "multilabel", "sequence-labelling")
_TINY = 1e-12  # keeps the slope of a power below 1 finite at zero


def choose_loss(recipe: Recipe, kind: TaskKind) -> Loss:
    """Return the loss that the recipe means for a task.

    Raises:
        ValueError: The loss, label smoothing or class weights make no sense for the task; the message names what does.
    """
    suitable = SUITABLE[kind]
    loss = suitable[0] if recipe.loss == "auto" else recipe.loss
    if loss not in suitable:
        raise ValueError(
            f"recipe.loss: got {loss!r} for a task of kind {kind!r}; expected one of {', '.join(suitable)}. "
            f"Set recipe.loss to {suitable[0]!r} or leave it at 'auto'."
        )
    if kind not in _CLASSES and recipe.label_smoothing > 0:
        raise ValueError(
            f"recipe.label_smoothing: got {recipe.label_smoothing:g} for a task of kind {kind!r}; expected 0, since "
            "there are no labels to smooth. Leave it out."
        )
    if kind not in _CLASSES and recipe.class_weights != "none":
        raise ValueError(
            f"recipe.class_weights: got {recipe.class_weights!r} for a task of kind {kind!r}; expected 'none', since "
            "there are no classes to weight. Leave it out."
        )
    return loss


def balanced_weights(targets: Tensor, kind: TaskKind, classes: int) -> Tensor:
    """Return n / (classes * n_class) for each class: shape (classes,); multilabel: (2, labels) for absent and present.

    Args:
        targets: Training targets as in `Samples`; ignored steps do not count.
        kind: A kind of task with classes.
        classes: Number of classes or labels.
    """
    if kind == "multilabel":
        present = targets.double().sum(0).clamp(min=1)
        absent = (len(targets) - targets.double().sum(0)).clamp(min=1)
        return (len(targets) / (2 * torch.stack((absent, present)))).float()
    labels = targets.flatten()
    counts = torch.bincount(labels[labels != IGNORED], minlength=classes).double()
    return (counts.sum() / (classes * counts.clamp(min=1))).float()


def criterion(recipe: Recipe, kind: TaskKind, weights: Tensor | None = None) -> Criterion:
    """Return the loss of a task as a function of scores and targets.

    Targets are as in `Samples`, or soft: shares of shape (n, classes) as mixup gives them. For regression they are on
    the scale of the scores; for reconstruction they are the features to be restored.

    Args:
        recipe: Says loss, label smoothing, focal exponent and Huber threshold.
        kind: The kind of task.
        weights: Class weights as `balanced_weights` gives them, or None.

    Raises:
        ValueError: The loss makes no sense for the task; see `choose_loss`.
    """
    loss = choose_loss(recipe, kind)
    smoothing, gamma, delta = recipe.label_smoothing, recipe.focal_gamma, recipe.huber_delta
    if loss == "mse":
        return functional.mse_loss
    if loss == "mae":
        return functional.l1_loss
    if loss == "huber":
        return lambda scores, targets: functional.huber_loss(scores, targets, delta=delta)
    if loss == "adversarial":
        return lambda scores, targets: functional.binary_cross_entropy_with_logits(scores, targets)
    focus = gamma if loss == "focal" else 0.0
    if kind in ("binary", "multilabel"):
        return lambda scores, targets: _binary(scores, targets, weights, smoothing, focus)
    if loss == "focal":
        return lambda scores, targets: _focal(*_flat(scores, targets), weights, smoothing, focus)
    if kind == "sequence-labelling":
        return lambda scores, targets: _steps(*_flat(scores, targets), weights, smoothing)
    return lambda scores, targets: functional.cross_entropy(scores, targets, weights, label_smoothing=smoothing)


def _flat(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Make one sample of every step."""
    if scores.dim() == 2:
        return scores, targets
    return scores.flatten(0, 1), targets.flatten(0, 1)


def _steps(scores: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Cross-entropy over the steps that count; 0 for a batch of padding only, where a mean would be 0/0."""
    total = functional.cross_entropy(
        scores, targets, weights, reduction="sum", ignore_index=IGNORED, label_smoothing=smoothing
    )
    counted = targets != IGNORED
    share = counted if weights is None else weights[targets.clamp(min=0)] * counted
    return total / share.sum().clamp(min=torch.finfo(scores.dtype).tiny)


def _binary(scores: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float, focus: float) -> Tensor:
    """Binary cross-entropy or focal loss of one logit a sample or label, weighted by class, normalised by the weights.

    Focal loss: Lin et al., ICCV 2017, eq. 5, with the class weights in the place of alpha.
    """
    if targets.dim() == 1:
        present = targets.to(scores.dtype).unsqueeze(1)
    else:  # soft: two columns for one logit, or one column a label
        present = (targets[:, 1:] if scores.shape[1] == 1 and targets.shape[1] == 2 else targets).to(scores.dtype)
    if smoothing:
        present = present * (1 - smoothing) + smoothing / 2
    if weights is None and not focus:
        return functional.binary_cross_entropy_with_logits(scores, present)
    yes, no = -functional.logsigmoid(scores) * present, -functional.logsigmoid(-scores) * (1 - present)
    if focus:
        probability = scores.sigmoid()
        yes = yes * (1 - probability).clamp(min=_TINY) ** focus
        no = no * probability.clamp(min=_TINY) ** focus
    if weights is None:
        return (yes + no).mean()
    weight_no, weight_yes = weights[0], weights[1]
    share = weight_yes * present + weight_no * (1 - present)
    return (weight_yes * yes + weight_no * no).sum() / share.sum()


def _focal(scores: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float, focus: float) -> Tensor:
    """Focal loss over classes (Lin et al., ICCV 2017, eq. 5), for class indices or shares."""
    classes = scores.shape[1]
    if targets.is_floating_point():
        shares = targets
    else:
        counted = targets != IGNORED
        shares = functional.one_hot(targets.clamp(min=0), classes).to(scores.dtype) * counted.unsqueeze(1)
    if smoothing:
        shares = shares * (1 - smoothing) + smoothing / classes * shares.sum(1, keepdim=True)
    if weights is not None:
        shares = shares * weights
    logs = scores.log_softmax(1)
    total = -(shares * (1 - logs.exp()).clamp(min=_TINY) ** focus * logs).sum()
    return cast(Tensor, total / shares.sum().clamp(min=torch.finfo(scores.dtype).tiny))
