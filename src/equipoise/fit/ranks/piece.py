"""The part of each batch that one rank takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from equipoise.core.recipe import Recipe
from equipoise.core.signature import TaskKind
from equipoise.fit.feed import Batch, Feed
from equipoise.fit.ranks.mass import mass
from equipoise.fit.ranks.ranks import Ranks


@dataclass(slots=True)
class Turn:
    """What the other parts of a training must know of the present batch.

    Attributes:
        completes: Whether the optimiser steps after it.
        idle: Whether it has fewer samples than there are ranks and none is left for this one. Then it goes through the
            motions with a sample of another rank, which counts nowhere.
    """

    completes: bool = True
    idle: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class OwnPiece:
    """Takes the rank's part of each batch: the first rank the first samples, and so on, as evenly as it goes.

    All ranks draw the same order, and the same augmentation for the whole batch, as one process would. The gradients of
    the ranks are averaged, so a loss counts by the number of ranks times its share of the whole.

    Attributes:
        ranks: All ranks, and which one this is.
        recipe: Says the loss.
        kind: The kind of task.
        weights: Class weights, or None.
        turn: Told of every batch.
    """

    ranks: Ranks
    recipe: Recipe
    kind: TaskKind
    weights: Tensor | None
    turn: Turn = field(default_factory=Turn)

    def order(self, feed: Feed, indices: Sequence[Tensor | None], ahead: Tensor, /) -> Tensor:
        """Return the samples that this rank will ask for, in order."""
        if feed.recipe.augmentation:
            return ahead
        own = [index[self._rows(len(index))[0]] for index in indices if index is not None]
        return torch.cat(own) if own else ahead[:0]

    def of(
        self, feed: Feed, index: Tensor | None, draws: torch.Generator, share: float, /, *, completes: bool
    ) -> Batch:
        """Return this rank's part of the batch at `index`."""
        n = len(feed.part.samples) if index is None else len(index)
        rows, idle = self._rows(n)
        self.turn.completes, self.turn.idle = completes, idle
        if feed.recipe.augmentation:  # drawn for all together
            features, targets = (one[rows] for one in feed.taken(index, draws))
        else:
            everything = torch.arange(n, device=feed.part.device) if index is None else index
            features, targets = feed.taken(everything[rows], draws)
        own = 0.0 if idle else self._mass(targets)
        return Batch(features, targets, share * self.ranks.count * own / self._whole(own, n), completes)

    def _rows(self, n: int) -> tuple[slice, bool]:
        """Return the rows of `n` that are this rank's, and whether they are really another's."""
        each, more = divmod(n, self.ranks.count)
        start = self.ranks.number * each + min(self.ranks.number, more)
        end = start + each + (self.ranks.number < more)
        return (slice(start, end), False) if end > start else (slice(0, 1), True)

    @property
    def _by_number(self) -> bool:
        """Whether a loss is a plain mean over samples."""
        return self.weights is None and self.kind != "sequence-labelling"

    def _mass(self, targets: Tensor) -> float:
        return float(len(targets)) if self._by_number else mass(self.recipe, self.kind, targets, self.weights)

    def _whole(self, own: float, n: int) -> float:
        if self._by_number:
            return float(n)
        return max(float(self.ranks.mean(torch.tensor(own, dtype=torch.float64))) * self.ranks.count, 1e-300)
