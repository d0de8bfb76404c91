"""When to stop, and which network to keep."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from equipoise.core.recipe import Recipe

ROUND_STEPS = 64
"""Steps of a round where epochs are shorter than `SHORT_EPOCH`."""

SHORT_EPOCH = 8
LOOKS = 50
"""A training is validated at least so often, if it has so many epochs."""


def round_epochs(recipe: Recipe, steps_per_epoch: int) -> int:
    """Return after how many epochs the loop looks up: validates, decides, writes.

    One, except where an epoch has fewer than 8 steps (full batch; tiny data), so that looking up does not cost more
    than training. Patience is then still kept to a quarter.
    """
    if steps_per_epoch >= SHORT_EPOCH:
        return 1
    bounds = [math.ceil(ROUND_STEPS / steps_per_epoch), recipe.epochs // LOOKS]
    if recipe.patience is not None:
        bounds.append(recipe.patience // 4)
    if recipe.schedule == "plateau":
        bounds.append(recipe.plateau_patience // 4)
    return max(1, min(bounds))


@dataclass(frozen=True, slots=True)
class Patience:
    """What early stopping has seen.

    Attributes:
        best: Smallest validation loss that counted as an improvement.
        best_epoch: Its epoch.
    """

    best: float = math.inf
    best_epoch: int = 0

    def seen(self, loss: float, epoch: int, min_delta: float) -> "Patience":
        """Return the state after a validation loss; it counts when it is smaller by more than `min_delta`."""
        return Patience(loss, epoch) if loss < self.best - min_delta else self

    def is_over(self, epoch: int, patience: int | None) -> bool:
        """Return whether `patience` epochs went by without an improvement."""
        return patience is not None and epoch - self.best_epoch >= patience


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The network to be returned.

    Attributes:
        tensors: Its weights and buffers by name, copies.
        epoch: Epoch after which it was kept, from 1; 0 for the network before training.
        score: Validation score; higher is better.
        loss: Validation loss.
    """

    tensors: dict[str, Tensor]
    epoch: int = 0
    score: float = -math.inf
    loss: float = math.inf

    def is_beaten_by(self, score: float, loss: float) -> bool:
        """Return whether a network is better: by validation score, and between equal scores by validation loss."""
        if not math.isfinite(loss):
            return False
        return (_no_nan(score), -loss) > (_no_nan(self.score), -self.loss)


def _no_nan(score: float) -> float:
    return -math.inf if math.isnan(score) else score


def copies(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of all weights and buffers by name."""
    return {name: value.detach().clone() for name, value in network.state_dict().items() if isinstance(value, Tensor)}
