"""Steps that go uphill, and losses without a floor."""

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.reading import Reading
from equipoise.vitals.detectors.sequential import Doubling, SignProcess, spread
from equipoise.vitals.window import Window

SIZES = (1, 8, 64)
"""Losses are compared in neighbouring blocks of so many steps."""


class _Pairs:
    """Signs of differences between disjoint pairs of neighbouring blocks of one size."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._open = np.empty(0)
        self.process = SignProcess()

    def add(self, losses: np.ndarray) -> None:
        """Take in losses and compare the two blocks of every pair that is full."""
        waiting = np.concatenate((self._open, losses))
        whole = len(waiting) // (2 * self._size) * (2 * self._size)
        if whole:
            means = waiting[:whole].reshape(-1, 2, self._size).mean(2)
            rise = means[:, 1] - means[:, 0]
            self.process.add(int((rise > 0).sum()), int((rise < 0).sum()))
        self._open = waiting[whole:]


class GradientAscent:
    """The loss rises step after step from where it began.

    Hypothesis: given the past, the second of two neighbouring blocks of losses is the larger one with probability at
    most one half, as it is for a loss that falls, rests or only wobbles. Test: e-process of signs over disjoint pairs,
    so that a chance high does not count twice, for blocks of 1, 8 and 64 steps at 5e-4 / 6 each (union bound). It
    starts with the first step and never starts anew, so a loss that fell first has evidence against it to outweigh.
    Where batches are noisy, a second test is quicker: the trend of 16 group means over the whole record (`Levels`)
    surely rises by over a tenth, few looks from step 128 on that share 5e-4 / 2. Either way the recent losses must lie
    above all but one of the first. A step downhill that is small against the weights
    cannot raise the loss time after time, so with small steps the sign is the likelier cause than the size.
    Sources: Cox and Stuart, Biometrika 1955 (paired sign test for trend); TheDeepChecker, TOSEM 2022 (flipped sign).
    """

    name = "gradient-ascent"
    faults = ("gradient_ascent", "lr_too_high")

    def __init__(self, reading: Reading | None = None) -> None:
        self._looks = Doubling(ALPHA / 2, 128)
        self._pairs = tuple(_Pairs(size) for size in SIZES)
        self._reading = reading or Reading()
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when the loss is established to rise."""
        self._reading.take(window)
        losses = window.loss[np.isfinite(window.loss)].astype(np.float64)
        for pairs in self._pairs:
            pairs.add(losses)
        rising = [one for one in self._pairs if one.process.established(ALPHA / 2 / len(SIZES))]
        due = self._looks.due(self._reading.levels.count)
        trend = self._reading.levels.trend(due) if due is not None else None
        first = self._reading.levels.first[:8]
        above = len(first) == 8 and float(np.median(self._reading.levels.recent)) > float(np.sort(first)[-2])
        climbs = trend is not None and trend.low > 0.1
        if self._said or not above or not (rising or climbs):
            return ()
        self._said = True
        ratios = self._reading.totals.update_ratio
        ratio = float(np.nanmedian(ratios)) if np.isfinite(ratios).any() else float("nan")
        small = ratio < 0.01
        share = (rising or self._pairs[1:])[0].process.share()
        return (
            Symptom(
                name=self.name,
                verdict=Verdict.FAIL,
                claim=f"The loss rose in {share.value:.0%} of {share.n} disjoint pairs of neighbours, from "
                f"{float(np.median(first)):.4g} to {float(np.median(self._reading.levels.recent)):.4g}.",
                estimates={"rising_pairs": share, "recent": spread(self._reading.levels.recent.tolist())},
                where=("loss", "optimizer.lr"),
                suggests={"gradient_ascent": 4.5 if small else 2.5, "lr_too_high": 0.5 if small else 2.0},
                step=int(window.steps[-1]),
            ),
        )


class FloorlessLoss:
    """The loss is far below zero and keeps growing there: it has no floor, so it does not measure an error.

    Hypothesis: over the last half of the record the size of the loss grows by less than a half, as it does once a loss
    nears its floor. Test: lower end of the trend of log(-loss) (`Levels`) against that, few looks that share the error
    rate 5e-4. The recent losses must also lie below zero by ten times the size of the first: log-densities go below
    zero too, but slow down.
    Sources: TheDeepChecker, TOSEM 2022 (negative loss); Zhang et al., AutoTrainer, ICSE 2021 (improper loss).
    """

    name = "floorless-loss"
    faults = ("gradient_ascent", "loss_mismatch")
    growth = 0.5

    def __init__(self, reading: Reading | None = None) -> None:
        self._reading = reading or Reading()
        self._looks = Doubling(ALPHA, 64)
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when the loss is established to fall without a floor."""
        self._reading.take(window)
        levels = self._reading.levels
        due = self._looks.due(levels.count)
        if self._said or due is None or not float(levels.recent.max()) < 0:
            return ()
        recent, size = spread(levels.recent.tolist()), float(np.median(np.abs(levels.first)))
        growth = levels.trend(due, last=0.5, negative=True)
        if recent.high >= -10 * size or growth is None or growth.low <= self.growth:
            return ()
        self._said = True
        return (
            Symptom(
                name=self.name,
                verdict=Verdict.FAIL,
                claim=f"The loss fell to {recent.value:.4g} and grew there by {growth.value:.0%} over the last half.",
                estimates={"recent": recent, "growth": growth},
                where=("loss",),
                suggests={"gradient_ascent": 3.0, "loss_mismatch": 2.5},
                step=int(window.steps[-1]),
            ),
        )
