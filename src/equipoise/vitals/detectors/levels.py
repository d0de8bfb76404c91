"""How the level of the loss moves: a bounded record, its trend with an interval, and whether it stalls."""

import math

import numpy as np

from equipoise.core.estimate import Estimate
from equipoise.stats.student import student_quantile
from equipoise.vitals.window import Window

LIMIT = 256
"""Most blocks of losses that are kept; when they are full, neighbours are merged."""
GROUPS = 16
"""A trend is fitted to the means of so many consecutive groups."""
RECENT = 64
"""So many of the last losses are kept as they came."""
FIRST = 16
"""So many of the first losses are kept as they came."""


class Levels:
    """Means of consecutive blocks of losses, the first and the last losses as they came.

    The trend is that of the means of 16 consecutive groups, with Student's interval on 14 degrees of freedom: valid
    for any autocorrelation inside a group, because only the group means enter (Ibragimov and Müller, Journal of
    Business and Economic Statistics 2010). A loss that falls and then rests scatters widely about a straight line, so
    its interval is wide and nothing is claimed about it. Positive losses are compared in logarithms.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first = np.empty(0)
        self.recent = np.empty(0)
        self.positive = True
        self._blocks = np.empty(0)
        self._open = np.empty(0)
        self._width = 1

    def add(self, window: Window) -> None:
        """Take in the losses of a window; those that are not finite are left out."""
        losses = window.loss[np.isfinite(window.loss)].astype(np.float64)
        self.count += len(losses)
        self.positive = self.positive and bool((losses > 0).all())
        self.first = np.concatenate((self.first, losses))[:FIRST]
        self.recent = np.concatenate((self.recent, losses))[-RECENT:]
        waiting = np.concatenate((self._open, losses))
        while True:
            whole = len(waiting) // self._width * self._width
            self._blocks = np.concatenate((self._blocks, waiting[:whole].reshape(-1, self._width).mean(1)))
            waiting = waiting[whole:]
            if len(self._blocks) < LIMIT:
                break
            if len(self._blocks) % 2:
                waiting = np.concatenate((np.full(self._width, self._blocks[-1]), waiting))
            even = len(self._blocks) // 2 * 2
            self._blocks = self._blocks[:even].reshape(-1, 2).mean(1)
            self._width *= 2
        self._open = waiting

    def groups(self, last: float = 1.0) -> np.ndarray | None:
        """Return the means of 16 consecutive groups of equal length, over the last share of the record.

        None while there are too few losses.
        """
        kept = int(len(self._blocks) * last) // GROUPS * GROUPS
        if kept < GROUPS:
            return None
        means: np.ndarray = self._blocks[-kept:].reshape(GROUPS, -1).mean(1)
        return means

    def trend(self, alpha: float, last: float = 1.0, *, negative: bool = False) -> Estimate | None:
        """Return by which share of itself the loss rose (positive) or fell (negative) over the record.

        In logarithms, turned back to a share, where all losses are positive. Either end of the interval is exceeded
        with probability `alpha`. None while there are too few losses.

        Args:
            alpha: Error rate of each end, in (0, 0.5).
            last: Share of the record that is looked at, from its end.
            negative: Look at the negative of the loss instead, in logarithms; None unless that is positive throughout.
        """
        groups = self.groups(last)
        if groups is None or (negative and groups.max() >= 0):
            return None
        groups = -groups if negative else groups
        logs = negative or (self.positive and bool((groups > 0).all()))
        scale = 1.0 if logs else float(np.abs(groups).mean() + groups.std()) or 1.0
        values = np.log(groups) if logs else groups / scale
        time = np.linspace(-0.5, 0.5, GROUPS)
        slope = float(time @ values / (time @ time))
        residual = values - values.mean() - slope * time
        error = math.sqrt(float(residual @ residual) / (GROUPS - 2) / float(time @ time))
        half = student_quantile(GROUPS - 2, alpha) * error
        ends = [math.expm1(min(x, 700.0)) if logs else x for x in (slope, slope - half, slope + half)]
        return Estimate(
            value=ends[0], low=ends[1], high=ends[2], n=GROUPS, level=1 - 2 * alpha, method="trend of group means"
        )

    def stalled(self, tolerance: float, alpha: float) -> bool:
        """Return whether the loss surely fell by less than a share of itself since the first step."""
        trend = self.trend(alpha)
        return trend is not None and trend.low > -tolerance and not self._fell_early(tolerance)

    def worse(self) -> bool:
        """Return whether the last 64 losses all lie above the very first, and their median at over 1.5 times it.

        64 losses all exceed an exchangeable one with probability 1 / 65; this is a consequence to look for beside what
        is tested, not a test of its own.
        """
        if self.count <= RECENT:
            return False
        first = float(self.first[0])
        return float(self.recent.min()) > first and float(np.median(self.recent)) > first + 0.5 * abs(first)

    def fallen_to(self) -> float:
        """Return the recent median loss as a share of the median of the first eight; NaN when there is none above 0."""
        if not len(self.first) or np.median(self.first[:8]) <= 0:
            return math.nan
        return float(np.median(self.recent) / np.median(self.first[:8]))

    def _fell_early(self, tolerance: float) -> bool:
        """Return whether the very first losses stand out above the rest: a fall too quick for a trend to show."""
        groups = self.groups()
        if groups is None:
            return True
        rest = float(np.median(groups[1:]))
        noise = math.sqrt(float(np.mean(np.diff(self.recent) ** 2)) / 2)  # von Neumann: blind to slow movements
        for m in (1, 4, FIRST):
            drop = float(self.first[:m].mean()) - rest
            if drop > tolerance * abs(rest) and drop > 2.5 * noise / math.sqrt(m):
                return True
        return False
