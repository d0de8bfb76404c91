"""A loss that stands still, told from one that is done."""

import math

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.stats.student import student_quantile
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.reading import Reading
from equipoise.vitals.detectors.sequential import Doubling
from equipoise.vitals.window import Window

NEAR = 0.2
"""A loss that has at most this share of the way to its floor left is done."""


class Plateau:
    """The loss never moved, or rests well above the floor it could reach.

    Never moved: hypothesis, the loss fell by 3 % or more since the start. Test: trend of group means (`Levels`) with
    its lower end above -3 %, no early drop; at most 25 looks in a million steps share the error rate 5e-4.
    Above the floor, when a floor is handed in: hypothesis, the loss still falls by 3 % or more over the last half of
    the record or has covered four fifths of the way to the floor; the whole interval of trend and level must clear
    both. A loss near its floor is done and is not reported. Without a floor a loss that fell and rests is not judged:
    nothing tells it from done.
    Sources: equivalence tests, Schuirmann 1987; Ibragimov and Müller 2010 for the interval.
    """

    name = "plateau"
    faults = ("lr_too_low", "dying_relu", "vanishing_gradient", "wrong_output_activation", "wrong_labels")
    tolerance = 0.03

    def __init__(self, floor: float | None = None, reading: Reading | None = None) -> None:
        """Make a detector.

        Args:
            floor: Lowest loss that can be reached (entropy of the labels given the inputs, noise variance), if known.
            reading: Shared with other detectors of the same training, or None for its own.
        """
        self._floor = floor
        self._reading = reading or Reading()
        self._looks = Doubling(ALPHA, 256)
        self._rate = 0.0
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when the loss is established to stand still above its floor."""
        self._reading.take(window)
        known = window.learning_rate[window.learning_rate > 0]
        rising = bool(len(known)) and float(known.max()) > 1.01 * self._rate > 0
        self._rate = max(self._rate, float(known.max()) if len(known) else 0.0)
        due = self._looks.due(self._reading.levels.count)
        if self._said or due is None or rising:
            return ()
        never = self._reading.levels.stalled(self.tolerance, due)
        trend = self._reading.levels.trend(due, last=1.0 if never else 0.5)
        if trend is None or not (never or self._rests_above(due)):
            return ()
        level = float(self._reading.levels.recent.mean())
        if self._gap(level) <= NEAR:
            return ()
        self._said = True
        return (
            Symptom(
                name=self.name,
                verdict=Verdict.WARN,
                claim=f"The loss {'never moved' if never else 'stopped falling'}: it stands at {level:.4g}"
                + (f", above a floor of {self._floor:.4g}." if self._floor is not None else "."),
                estimates={"trend": trend, "level": exact(level, n=len(self._reading.levels.recent))},
                where=("loss",),
                suggests={"lr_too_low": 0.5, "dying_relu": 0.5, "vanishing_gradient": 0.5}
                | {"wrong_output_activation": 1.0, "wrong_labels": 0.5, "loss_mismatch": 0.5},
                step=int(window.steps[-1]),
            ),
        )

    def _rests_above(self, alpha: float) -> bool:
        """Return whether the last half of the record surely neither falls nor is near the floor."""
        trend, groups = self._reading.levels.trend(alpha, last=0.5), self._reading.levels.groups(last=0.5)
        if self._floor is None or trend is None or groups is None or trend.low <= -self.tolerance:
            return False
        half = student_quantile(len(groups) - 1, alpha) * float(groups.std(ddof=1)) / math.sqrt(len(groups))
        return self._gap(float(groups.mean()) - half) > NEAR

    def _gap(self, level: float) -> float:
        """Return how much of the way from the first losses to the floor is left at a level."""
        if self._floor is None:
            return math.inf
        way = float(self._reading.levels.first.mean()) - self._floor
        return (level - self._floor) / way if way > 0 else 0.0
