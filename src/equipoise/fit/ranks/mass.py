"""By how much the mean loss of a batch counts when batches are put together."""

import torch
from torch import Tensor
from torch.nn import functional

from equipoise.core.recipe import Recipe
from equipoise.core.signature import TaskKind
from equipoise.data.samples import IGNORED
from equipoise.fit.losses import choose_loss


def mass(recipe: Recipe, kind: TaskKind, targets: Tensor, weights: Tensor | None) -> float:
    """Return what the loss of a batch is divided by: `criterion` of a whole is the mean of its parts' by this weight.

    Args:
        recipe: Says the loss.
        kind: The kind of task.
        targets: Targets of the batch, as the criterion takes them.
        weights: Class weights as `balanced_weights` gives them, or None.
    """
    loss = choose_loss(recipe, kind)
    if kind in ("binary", "multilabel"):
        return float(len(targets)) if weights is None else _binary_mass(recipe, kind, targets, weights)
    if loss not in ("cross-entropy", "focal"):
        return float(len(targets))
    if targets.is_floating_point() and loss == "cross-entropy":  # torch divides shares by their number, weighted or not
        return float(len(targets))
    if targets.is_floating_point():
        shares = targets.flatten(0, -2)
    else:
        labels = targets.flatten()
        counted = labels != IGNORED
        if weights is None:
            return float(counted.sum())
        shares = functional.one_hot(labels.clamp(min=0), len(weights)) * counted.unsqueeze(1)
    if loss == "focal" and recipe.label_smoothing:
        even = shares.sum(1, keepdim=True) / shares.shape[1]
        shares = torch.lerp(shares.float(), even.expand_as(shares).float(), recipe.label_smoothing)
    return float((shares if weights is None else shares * weights).sum())


def _binary_mass(recipe: Recipe, kind: TaskKind, targets: Tensor, weights: Tensor) -> float:
    present = targets.float()
    if kind == "binary" and present.dim() == 2:
        present = present[:, -1]
    if kind == "binary":
        present = present.reshape(-1, 1)
    present = present * (1 - recipe.label_smoothing) + recipe.label_smoothing / 2
    return float((weights[1] * present + weights[0] * (1 - present)).sum())
