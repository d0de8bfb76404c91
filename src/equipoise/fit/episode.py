"""Trouble that is being treated, and whether the correction on trial helped."""

from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.core.act import Correction
from equipoise.fit.alarms import HOLD, Trouble

CURED = 64
"""Steps without trouble after which a correction has helped."""

GIVEN = 256
"""Steps that a correction has to bring the loss back to where it was."""


@dataclass(slots=True)
class Episode:
    """Trouble that is being treated.

    Attributes:
        trouble: What kind.
        ladder: The corrections that are tried for it.
        rung: Which of them is on trial.
        began: Step of the last act.
        usual: Loss level to come back to.
        spread: Deviation of single losses there.
        broken: Loss level that was seen when it broke.
        anew: Whether it went back to the very beginning, so that there is nothing to come back to: the loss must fall.
        good: Steps since the act without trouble.
    """

    trouble: Trouble
    ladder: Sequence[Correction]
    rung: int
    began: int
    usual: float
    spread: float
    broken: float
    anew: bool
    good: int = 0

    def __post_init__(self) -> None:
        self.trouble = Trouble(self.trouble)  # a checkpoint holds the plain word

    def helped(self, level: float, step: int, *, falls: bool) -> bool | None:
        """Return whether the correction helped: yes, no, or None while that cannot be told.

        Args:
            level: Median of the last losses.
            step: Steps taken.
            falls: Whether the losses since the act go down.
        """
        since, usual, broken = step - self.began, self.usual, self.broken
        is_back = level <= usual + max(self.spread, 1e-3 * abs(usual))
        if self.good >= CURED and is_back and (falls or not self.anew):
            return True
        # The loss must go down: one that is nearer to where it broke than to where it was did not; nor one that rests.
        failed = since >= HOLD and broken > usual + self.spread and level > (usual + broken) / 2
        rests = since >= 2 * HOLD and not is_back and not falls
        return False if failed or rests or since >= GIVEN else None
