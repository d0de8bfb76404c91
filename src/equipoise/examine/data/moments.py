"""First and second moments of features, and how sure they are."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from equipoise.core.estimate import Estimate


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Each sample's mean and mean square of each feature (one value a sample), or of each group of values (a channel).

    Attributes:
        names: Name of each feature or group.
        first: (n, groups).
        second: (n, groups).
    """

    names: tuple[str, ...]
    first: np.ndarray
    second: np.ndarray

    def only(self, kept: np.ndarray) -> "Moments":
        """Return the groups where `kept` (groups,) is true."""
        names = tuple(name for name, keep in zip(self.names, kept, strict=True) if keep)
        return Moments(names, self.first[:, kept], self.second[:, kept])

    @property
    def mean(self) -> np.ndarray:
        """Mean of each group (groups,)."""
        found: np.ndarray = self.first.mean(0)
        return found

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation of each group (groups,)."""
        return deviation_of(self.first.mean(0), self.second.mean(0))


def deviation_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return standard deviations from mean values and mean squares of the same shape."""
    found: np.ndarray = np.sqrt(np.maximum(second - first**2, 0.0))
    return found


def decades_from_one(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how many powers of ten the root mean square of the worst group is away from 1, over the last axis."""
    del first
    found: np.ndarray = np.abs(0.5 * np.log10(np.maximum(second, 1e-30))).max(-1)
    return found


def offset_in_deviations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return |mean| / standard deviation of the worst group, over the last axis."""
    deviation = deviation_of(first, second)
    # A resample of few samples may hold one value only: such a draw says nothing.
    alone = deviation <= 1e-9 * np.abs(first)
    found: np.ndarray = np.where(
        alone, np.nan, np.abs(first) / np.where(alone, 1.0, np.maximum(deviation, 1e-300))
    ).max(-1)
    return found


def of_moments(
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray], moments: Moments, *, repeats: int = 200
) -> Estimate:
    """Return a statistic of the moments with a percentile bootstrap interval over samples.

    Args:
        statistic: Takes mean values and mean squares (..., groups), returns numbers (...).
        moments: The moments of each sample.
        repeats: Number of resamples; all are taken in one matrix product.
    """
    n = len(moments.first)
    rng = np.random.default_rng(0)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=repeats) / n
    draws = statistic(weights @ moments.first, weights @ moments.second)
    draws = draws[np.isfinite(draws)]
    value = float(statistic(moments.first.mean(0), moments.second.mean(0)))
    low, high = (float(end) for end in np.quantile(draws, [0.025, 0.975])) if len(draws) else (-np.inf, np.inf)
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n, method="bootstrap")
