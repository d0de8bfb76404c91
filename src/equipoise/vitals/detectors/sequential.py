"""Tests that may be looked at again and again: e-processes, and an error rate spent over looks."""

import math
from statistics import NormalDist

from equipoise.core.estimate import Estimate


class SignProcess:
    """Evidence that something happens more often than it may, valid at every moment it is looked at.

    Null hypothesis: given everything before, the chance of a hit is at most `limit`. A uniform mixture of likelihood
    ratios over all larger chances is a non-negative supermartingale under it, so it ever exceeds 1 / alpha with
    probability at most alpha (Ville 1939; Robbins, Annals of Mathematical Statistics 1970; Ramdas et al., Statistical
    Science 2023). Two counts are all it keeps.
    """

    def __init__(self, limit: float = 0.5) -> None:
        self.limit = limit
        self.hits = 0
        self.misses = 0

    def add(self, hits: int, misses: int) -> None:
        """Count further hits and misses."""
        self.hits += hits
        self.misses += misses

    def log_evidence(self) -> float:
        """Return the logarithm of the e-value in nats."""
        from scipy import special  # here, since a healthy training never needs it: 6 MB

        up, down, limit = self.hits, self.misses, self.limit
        above = float(special.betaincc(up + 1, down + 1, limit))
        if above == 0.0:
            return -math.inf
        plain = up * math.log(limit) + (down + 1) * math.log1p(-limit)
        return float(special.betaln(up + 1, down + 1)) + math.log(above) - plain

    def established(self, alpha: float) -> bool:
        """Return whether the null hypothesis is rejected at error rate `alpha` over all looks together."""
        return self._log_bound() >= -math.log(alpha) and self.log_evidence() >= -math.log(alpha)

    def _log_bound(self) -> float:
        """Return what `log_evidence` cannot exceed, at the price of a few logarithms.

        Where hits are no more frequent than they may be, every larger chance is less likely than the limit itself.
        """
        up, down, limit = self.hits, self.misses, self.limit
        if up <= limit * (up + down):
            return 0.0
        whole = math.lgamma(up + 1) + math.lgamma(down + 1) - math.lgamma(up + down + 2)
        return whole - up * math.log(limit) - (down + 1) * math.log1p(-limit)

    def share(self, level: float = 0.95) -> Estimate:
        """Return the share of hits with its exact interval."""
        return share(self.hits, self.hits + self.misses, level)


class Spending:
    """An error rate divided over any number of looks: the k-th look gets alpha / (k (k + 1)), which sums to alpha.

    Alpha spending: Lan and DeMets, Biometrika 1983; the union bound makes it valid for dependent looks.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self.looks = 0

    def look(self) -> float:
        """Return the error rate of the next look."""
        self.looks += 1
        return self.alpha / (self.looks * (self.looks + 1))


class Doubling:
    """Looks that are due at `start` measurements and whenever there are a half more, each with its share of alpha.

    Few looks leave each a larger share: a training of a million steps has about 25.
    """

    def __init__(self, alpha: float, start: int) -> None:
        self._spending = Spending(alpha)
        self._next = start

    def due(self, count: int) -> float | None:
        """Return the error rate of the look that is due at `count` measurements, or None when none is."""
        if count < self._next:
            return None
        while self._next <= count:
            self._next = math.ceil(1.5 * self._next)
        return self._spending.look()


def share(hits: int, n: int, level: float = 0.95) -> Estimate:
    """Return a share with its exact interval (Clopper and Pearson, Biometrika 1934).

    Args:
        hits: How many of `n` have the property.
        n: How many there are, at least 1.
        level: Confidence level, in (0, 1).
    """
    from scipy import special  # here, since only what is told of needs it

    tail = (1 - level) / 2
    low = float(special.betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(special.betainccinv(hits + 1, n - hits, tail)) if hits < n else 1.0
    value = hits / n
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n, level=level, method="Clopper-Pearson")


def spread(values: list[float], level: float = 0.95, unit: str = "1") -> Estimate:
    """Return the median of values with its distribution-free interval of order statistics; for reporting.

    The ends are the smallest and largest value when there are too few for the level.
    """
    ordered = sorted(values)
    n = len(ordered)
    middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    skip = max(0, math.floor(n / 2 - math.sqrt(n) / 2 * NormalDist().inv_cdf((1 + level) / 2) - 0.5))
    low, high = ordered[skip], ordered[n - 1 - skip]
    return Estimate(
        value=middle,
        low=min(low, middle),
        high=max(high, middle),
        n=n,
        unit=unit,
        level=level,
        method="order statistics",
    )
