"""A loss that climbs away from the lowest level it had."""

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.reading import Reading
from equipoise.vitals.detectors.sequential import Spending, spread
from equipoise.vitals.window import Window

FEWEST = 16
"""Losses that a level is judged by."""
MOST = 64


class Divergence:
    """The loss climbed above where it started, or won back over half of what it had fallen.

    Hypothesis: the recent losses are not larger than those of the best stretch before (the lowest median of its
    length). Test: Mann-Whitney on ranks, one-sided, so that heavy tails of batch losses do no harm; the k-th look gets
    5e-4 / (k (k + 1)) (alpha spending). Chance alone and small rises are not enough: the median of the recent losses
    must also lie above half of the fall so far (warn), or half above the median and beyond the largest of the first
    losses (fail).
    Sources: Mann and Whitney 1947; Lan and DeMets 1983; Chowdhery et al., PaLM, JMLR 2023, section 5.1 (spikes).
    """

    name = "divergence"
    faults = ("lr_too_high", "gradient_ascent", "exploding_gradient", "missing_zero_grad", "oscillating_loss")

    def __init__(self, reading: Reading | None = None) -> None:
        self._reading = reading or Reading()
        self._best = np.empty(0)
        self._spending = Spending(ALPHA)
        self._waiting = 0
        self._said: Verdict | None = None

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when the loss has climbed, and another when it is above its start."""
        self._reading.take(window)
        self._waiting += int(np.isfinite(window.loss).sum())
        first = self._reading.levels.first
        if self._waiting < FEWEST or len(first) < 8:
            return ()
        recent = self._reading.levels.recent[-min(MOST, self._waiting) :]
        self._waiting = 0
        start = self._best if len(self._best) else first[: len(first) // 2]
        if not len(self._best) or np.median(recent) < np.median(self._best):
            self._best = recent
        verdict = self._judge(recent, start, first, self._spending.look())
        if verdict is None or (self._said is not None and verdict.severity <= self._said.severity):
            return ()
        self._said = verdict
        now, then = spread(recent.tolist()), spread(start.tolist())
        return (
            Symptom(
                name=self.name,
                verdict=verdict,
                claim=f"The loss climbed from {then.value:.4g} to {now.value:.4g}; "
                f"it began at {float(np.median(first)):.4g}.",
                estimates={"recent": now, "best": then},
                where=("optimizer.lr", "loss"),
                suggests={"lr_too_high": 2.5, "gradient_ascent": 1.5, "exploding_gradient": 1.0}
                | {"missing_zero_grad": 1.0, "oscillating_loss": 0.5 if verdict is Verdict.FAIL else 1.5},
                step=int(window.steps[-1]),
            ),
        )

    def _judge(self, recent: np.ndarray, best: np.ndarray, first: np.ndarray, alpha: float) -> Verdict | None:
        level, start, low = float(np.median(recent)), float(np.median(first)), float(np.median(best))
        scale = float(np.median(np.abs(first)))
        above = level > start + 0.5 * scale and level > float(first.max())
        back = start - low > 0.1 * scale and level > low + 0.5 * (start - low)
        if not (above or back) or _is_larger(recent, best) >= alpha:
            return None
        return Verdict.FAIL if above else Verdict.WARN


def _is_larger(recent: np.ndarray, best: np.ndarray) -> float:
    """Return the p value of Mann and Whitney's test that recent losses are larger."""
    from scipy import stats  # 45 MB that most trainings need not load

    return float(stats.mannwhitneyu(recent, best, alternative="greater").pvalue)
