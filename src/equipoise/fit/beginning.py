"""Was a training thrown off by its very first steps? Nothing is usual yet then, so its weights are asked."""

from dataclasses import dataclass

from equipoise.fit.alarms import LossWatch
from equipoise.fit.shelf import Shelf

ABSURD = 1.0
"""A first step that moves the weights by more than this share of their norm is too large, whatever the loss says."""

FAR = 100.0
"""Weights that are so many times their first norm away from where they began are far."""

SOON = 64
"""After so many steps far weights with twice the first loss are told from noise of the first loss."""

LATE = 256
"""After so many steps a loss that was never once below the first one counts, even if the weights are less far."""

STEP_SHARE = 0.01
"""A plain step may move the weights by this share of their norm."""


@dataclass(slots=True, eq=False)
class Beginning:
    """Measures the first step of a training, and later how far it went.

    Attributes:
        shelf: Holds the weights that it began with, as its oldest snapshot, until the loss was better.
        first_move: Distance of the very first step as a share of the norm of the weights; 0 before it was taken.
    """

    shelf: Shelf
    first_move: float = 0.0

    def note_first_step(self) -> None:
        """Measure how far the very first step moved the weights; waits for the device."""
        self.first_move = self.shelf.balanced.moved(self.shelf.snapshots[0])

    @property
    def is_far(self) -> bool:
        """Whether the weights are far from where they began; waits for the device."""
        return self._moved_beyond(FAR)

    def is_lost(self, watch: LossWatch) -> bool:
        """Return whether weights that moved far gave nothing but a loss above that of the untouched ones.

        The first loss is that of one batch, and may be small by chance. So either the weights are far beyond where a
        training takes them, or none of many losses was as small (by chance once in `LATE` trainings that learn
        nothing, and less often in those that learn).
        """
        if watch.heard >= LATE and watch.lowest > watch.birth:
            return self._moved_beyond(ABSURD)
        return watch.heard >= SOON and watch.usual > watch.birth + abs(watch.birth) and self.is_far

    def _moved_beyond(self, limit: float) -> bool:
        beginning = self.shelf.snapshots[0]
        return beginning.step == 0 and not self.shelf.balanced.moved(beginning) <= limit

    def is_thrown(self, first_norm: float | None, birth: float) -> bool:
        """Return whether the first step was absurd because of its rate, and not because gradients explode.

        Gradients explode when, by them, a step of a mere hundredth would change the loss by more than all of it.

        Args:
            first_norm: Norm of the first gradient; None when unknown.
            birth: First loss.
        """
        size = self.shelf.balanced.size(self.shelf.snapshots[0])
        explodes = first_norm is not None and STEP_SHARE * first_norm * size > abs(birth)
        return self.first_move > ABSURD and not explodes

    def bearable_norm(self, first_norm: float, factor: float) -> float:
        """Return the gradient norm with which a plain step moves the weights by a hundredth, at most the first one.

        Args:
            first_norm: Norm of the first gradient.
            factor: What the learning rate is multiplied by now.
        """
        move = self.first_move * factor
        return first_norm * min(1.0, STEP_SHARE / move if move > 0 else 1.0)
