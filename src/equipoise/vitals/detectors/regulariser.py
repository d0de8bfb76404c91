"""A penalty on the weights that outweighs the data."""

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.reading import Reading
from equipoise.vitals.detectors.sequential import Doubling, SignProcess, share
from equipoise.vitals.window import Window

STRETCH = 8
"""Sampled steps over which the way of the weights is compared with their shrinking."""


class RegulariserDominating:
    """Weights move straight towards zero, and shrink for nothing.

    The gradient of the data moves weights mostly sideways; decay moves them straight to zero. Over a stretch of 8
    sampled steps, the radial share of the movement is the fall of log |w| over the sum of the update ratios: 1 for pure
    decay, near 0 for learning. Hypothesis per stretch: given the past, the median radial share of the layers' weights
    is at most one half at least half the time. Test: e-process of signs over stretches, error rate 5e-4 / 2.
    Decay is only a fault when the weights fell to under half of their start while the loss surely fell by under 10 %
    (error rate 5e-4 / 2), or when most layers fell to under a tenth: weights that decay at a loss of nearly zero, or
    in balance with the gradient, are healthy (Van Laarhoven, arXiv 1706.05350).
    Source: ratio of the regulariser's to the data's gradient, TheDeepChecker, TOSEM 2022.
    """

    name = "regulariser-dominating"
    faults = ("over_regularised",)

    def __init__(self, reading: Reading | None = None) -> None:
        self._process = SignProcess()
        self._reading = reading or Reading()
        self._looks = Doubling(ALPHA / 2, 64)
        self._start: dict[str, float] = {}
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when decay without gain is established."""
        self._reading.take(window)
        due = self._looks.due(self._reading.levels.count)
        kept = self._reading.depth().carrying
        if not len(kept) or not len(window.steps):
            return ()
        self._walk(window, kept)
        left = self._left(window, kept)
        if self._said or not len(left) or not self._process.established(ALPHA / 2):
            return ()
        value = float(np.median(left))
        vanished = value < 0.1
        idle = value < 0.5 and due is not None and self._reading.levels.stalled(0.1, due)
        if not (vanished or idle):
            return ()
        self._said = True
        low = share(int((left < 0.5).sum()), len(left))
        return (
            Symptom(
                name=self.name,
                verdict=Verdict.FAIL if idle else Verdict.WARN,
                claim=f"Weights move straight towards zero in {self._process.share().value:.0%} of the stretches and "
                f"are down to {value:.2g} of their start{'; the loss does not fall' if idle else ''}.",
                estimates={
                    "radial_stretches": self._process.share(),
                    "shrunk_layers": low,
                    "norm_left": Estimate(
                        value=value, low=float(left.min()), high=float(left.max()), n=len(left), method="range"
                    ),
                },
                where=("optimizer.weight_decay", "loss"),
                suggests={"over_regularised": 4.5},
                step=int(window.steps[-1]),
            ),
        )

    def _left(self, window: Window, kept: np.ndarray) -> np.ndarray:
        """Return which share of its norm at the start each weight has left; those that began at zero are left out."""
        norms = window.weight["norm"]
        for p in kept if len(self._start) < len(kept) else ():
            self._start.setdefault(window.weights[p].name, float(norms[0, p]))
        start = np.array([self._start.get(window.weights[p].name, np.nan) for p in kept])
        known = (start > 0) & np.isfinite(norms[-1, kept])
        out: np.ndarray = norms[-1, kept][known] / start[known]
        return out

    def _walk(self, window: Window, kept: np.ndarray) -> None:
        """Count the stretches of this window; steps between samples are taken to be as long as the sampled ones."""
        count = len(window.steps) // STRETCH
        if not count:
            return
        shape = (count, STRETCH, len(kept))
        norms = window.weight["norm"][: count * STRETCH, kept].reshape(shape)
        ratios = window.weight["update_ratio"][: count * STRETCH, kept].reshape(shape)
        steps = window.steps[: count * STRETCH].reshape(count, STRETCH)
        with np.errstate(all="ignore"):
            way = ratios[:, 1:].mean(1) * (steps[:, -1] - steps[:, 0])[:, None]
            radial = np.log(norms[:, 0] / norms[:, -1]) / way
        known = np.isfinite(radial)
        middle = np.median(radial, axis=1) if known.all() else _medians(radial, known)
        hits = int((middle > 0.5).sum())
        self._process.add(hits, len(middle) - hits)


def _medians(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.array([np.median(row[good]) for row, good in zip(values, known, strict=True) if good.any()])
