"""How often each sample of the training part is drawn."""

import torch
from torch import Tensor

from equipoise.core.recipe import Recipe
from equipoise.core.signature import Task


def check_sampling(recipe: Recipe, task: Task) -> None:
    """Refuse balanced batches where samples have no one class, or where there are no batches.

    Raises:
        ValueError: Such a task, or the optimiser `gradient-descent`.
    """
    if recipe.class_sampling == "none":
        return
    if not task.classifies:
        raise ValueError(
            f"recipe.class_sampling: got {recipe.class_sampling!r} for a task of kind {task.kind!r}; expected 'none', "
            "since its samples have no one class. Leave it out."
        )
    if recipe.optimizer == "gradient-descent":
        raise ValueError(
            f"recipe.class_sampling: got {recipe.class_sampling!r} with optimizer 'gradient-descent', whose step takes "
            "the whole training part; expected 'none'. Use class_weights, or another optimiser."
        )


def class_chances(targets: Tensor) -> Tensor:
    """Return the chance of each training sample (n,), up to a factor, that makes every class as likely.

    Args:
        targets: Class indices of the training part (n,).
    """
    return 1 / torch.bincount(targets)[targets].float()
