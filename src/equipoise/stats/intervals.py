"""Intervals: how sure a measured number is. Each function returns an `Estimate`."""

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from equipoise.core.estimate import Estimate


def proportion(successes: int, n: int, *, level: float = 0.95) -> Estimate:
    """Return a share with its Wilson score interval (Wilson, JASA 1927).

    Args:
        successes: How many of the `n` samples have the property, in 0..n.
        n: Number of independent samples, at least 1.
        level: Confidence level, in (0, 1).

    Raises:
        ValueError: No samples, or a count outside 0..n.
    """
    _check_count("successes", successes, n)
    low, high = _wilson(successes, n, level)
    share = successes / n
    return Estimate(value=share, low=min(low, share), high=max(high, share), n=n, level=level, method="Wilson")


def proportion_of(flags: np.ndarray) -> Estimate:
    """Return the share of true entries of a boolean array of any shape, with its Wilson interval."""
    flat = np.asarray(flags).astype(bool).ravel()
    return proportion(int(flat.sum()), flat.size)


def mean(values: np.ndarray, *, unit: str = "1", level: float = 0.95) -> Estimate:
    """Return the mean of independent values (n,) with its Student t interval; unbounded when n is 1.

    Raises:
        ValueError: No values, or a value that is not finite.
    """
    flat = _finite("values", values)
    n = flat.size
    value = float(flat.mean())
    half = math.inf if n == 1 else float(stats.t.ppf((1 + level) / 2, n - 1) * flat.std(ddof=1) / math.sqrt(n))
    return Estimate(value=value, low=value - half, high=value + half, n=n, unit=unit, level=level, method="Student t")


def mean_score(scores: np.ndarray, *, level: float = 0.95) -> Estimate:
    """Return the mean of scores over seeds (n,) with its Student t interval, which ends where a score is perfect."""
    found = mean(scores, level=level)
    return found.replace(high=max(found.value, min(1.0, found.high)))


def deviation(values: np.ndarray, *, unit: str = "1", level: float = 0.95) -> Estimate:
    """Return the standard deviation of independent normal values (n,) with its chi-squared interval; n at least 2."""
    flat = _finite("values", values)
    if flat.size < 2:
        raise ValueError("got 1 value; expected at least 2 to see how they vary. Collect more.")
    value, degrees = float(flat.std(ddof=1)), flat.size - 1
    low, high = (value * math.sqrt(degrees / stats.chi2.ppf((1 + side * level) / 2, degrees)) for side in (1, -1))
    return Estimate(value=value, low=low, high=high, n=flat.size, unit=unit, level=level, method="chi-squared")


def bootstrap(
    statistic: Callable[..., float],
    *arrays: np.ndarray,
    unit: str = "1",
    repeats: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Return a statistic with its bias-corrected and accelerated bootstrap interval (Efron, JASA 1987).

    Rows of all arrays are resampled together. The acceleration comes from a jackknife over at most 40 blocks of
    rows, so the cost is about `repeats + 40` calls. Resamples on which the statistic is not finite are left out.

    Args:
        statistic: Takes the arrays, returns a number.
        arrays: One or more arrays with the same number of rows.
        unit: Unit of the statistic.
        repeats: Number of resamples, at least 100.
        seed: Seed of the resampling.
        level: Confidence level, in (0, 1).

    Raises:
        ValueError: No rows, unequal numbers of rows, too few repeats, or a statistic that is not finite.
    """
    if not arrays or len({len(one) for one in arrays}) != 1 or len(arrays[0]) == 0:
        got = [len(one) for one in arrays]
        raise ValueError(f"got arrays with {got} rows; expected at least one row, as many in each. Align the arrays.")
    if repeats < 100:
        raise ValueError(f"got repeats {repeats}; expected at least 100. Ask for more resamples.")
    n = len(arrays[0])
    value = float(statistic(*arrays))
    if not math.isfinite(value):
        raise ValueError(f"got a statistic of {value}; expected a finite number. Check the arrays for NaN.")
    if n == 1:
        return Estimate(value=value, low=-math.inf, high=math.inf, n=n, unit=unit, level=level, method="bootstrap")
    rng = np.random.default_rng(seed)
    draws = np.empty(repeats)
    for i in range(repeats):
        rows = rng.integers(0, n, n)
        draws[i] = statistic(*(one[rows] for one in arrays))
    draws = draws[np.isfinite(draws)]
    if len(draws) < repeats // 2:
        raise ValueError(
            f"got {repeats - len(draws)} of {repeats} resamples without a finite statistic; expected at most half. "
            "Use more samples or a statistic that is defined on most resamples."
        )
    low, high = _bias_corrected(draws, value, _acceleration(statistic, arrays, rng), level)
    return Estimate(
        value=value, low=min(low, value), high=max(high, value), n=n, unit=unit, level=level, method="bootstrap"
    )


def difference_of_proportions(a_successes: int, a_n: int, b_successes: int, b_n: int) -> Estimate:
    """Return share a minus share b of two independent groups (Newcombe, Statistics in Medicine 1998, method 10).

    `n` is the smaller group's size.
    """
    apart = difference(proportion(a_successes, a_n), proportion(b_successes, b_n))
    return apart.replace(low=max(apart.low, -1.0), high=min(apart.high, 1.0), method="Newcombe")


def paired_difference_of_proportions(only_a: int, only_b: int, n: int) -> Estimate:
    """Return share a minus share b over the same samples (Bonett and Price, J. Educ. Behav. Stat. 2012).

    Unlike a bootstrap it stays honest where the two conditions never disagree.

    Args:
        only_a: Samples that have the property under a only.
        only_b: Samples that have it under b only.
        n: Number of samples.
    """
    _check_count("discordant samples", only_a + only_b, n)
    value = (only_a - only_b) / n
    a, b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = float(stats.norm.ppf(0.975)) * math.sqrt((a + b - (a - b) ** 2) / (n + 2))
    low, high = max(a - b - half, -1.0), min(a - b + half, 1.0)
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n, method="Bonett and Price")


def difference(a: Estimate, b: Estimate) -> Estimate:
    """Return a minus b of two independent estimates (variance recovery; Zou and Donner, Statistics in Medicine 2008).

    For two Wilson intervals this is Newcombe's interval. `n` is the smaller of the two, the unit is that of `a`.
    """
    value = a.value - b.value
    return Estimate(
        value=value,
        low=value - math.hypot(a.value - a.low, b.high - b.value),
        high=value + math.hypot(a.high - a.value, b.value - b.low),
        n=min(a.n, b.n),
        unit=a.unit,
        level=min(a.level, b.level),
        method="variance recovery",
    )


def difference_of_means(a: np.ndarray, b: np.ndarray, unit: str = "1") -> Estimate:
    """Return mean a minus mean b of two independent groups with its Welch interval (Welch, Biometrika 1947).

    `n` is the smaller group's size; the interval is unbounded when a group has one value.
    """
    one, two = _finite("a", a), _finite("b", b)
    value = float(one.mean() - two.mean())
    half = math.inf
    if min(one.size, two.size) > 1:
        shares = one.var(ddof=1) / one.size, two.var(ddof=1) / two.size
        total = float(sum(shares))
        degrees = total**2 / (shares[0] ** 2 / (one.size - 1) + shares[1] ** 2 / (two.size - 1)) if total > 0 else 1.0
        half = float(stats.t.ppf(0.975, degrees) * math.sqrt(total))
    return Estimate(
        value=value, low=value - half, high=value + half, n=min(one.size, two.size), unit=unit, method="Welch"
    )


def paired_difference(a: np.ndarray, b: np.ndarray, unit: str = "1") -> Estimate:
    """Return the mean of a minus b over pairs (n,) with its Student t interval."""
    one, two = _finite("a", a), _finite("b", b)
    if one.size != two.size:
        raise ValueError(f"got {one.size} and {two.size} values; expected pairs. Give both sides of every pair.")
    return mean(one - two, unit=unit).replace(method="paired t")


def quantile(values: np.ndarray, q: float, unit: str = "1") -> Estimate:
    """Return a quantile with its distribution-free order-statistic interval (David and Nagaraja, 2003, section 7.1).

    An end is infinite when there are too few values for an order statistic beyond it: p99 needs 368 of them for a
    finite upper end.

    Args:
        values: Independent values (n,).
        q: Which quantile, in (0, 1).
        unit: Unit of the values.
    """
    ordered = np.sort(_finite("values", values))
    if not 0 < q < 1:
        raise ValueError(f"got q {q}; expected a number strictly between 0 and 1. Use min or max for the ends.")
    n = ordered.size
    value = float(np.quantile(ordered, q))
    below = int(stats.binom.ppf(0.025, n, q))
    below -= int(stats.binom.cdf(below - 1, n, q) > 0.025)
    above = int(stats.binom.ppf(0.975, n, q)) + 1
    low = float(ordered[below - 1]) if below >= 1 else -math.inf
    high = float(ordered[above - 1]) if above <= n else math.inf
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n, unit=unit, method="order statistics")


def _wilson(successes: int, n: int, level: float) -> tuple[float, float]:
    z = float(stats.norm.ppf((1 + level) / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def _check_count(name: str, count: int, n: int) -> None:
    if n < 1:
        raise ValueError(f"got n {n}; expected at least 1. There is nothing to estimate without samples: collect some.")
    if not 0 <= count <= n:
        raise ValueError(f"got {name} {count} of {n}; expected a count from 0 to {n}. Count the samples again.")


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    flat = np.asarray(values, dtype=np.float64).ravel()
    if flat.size == 0:
        raise ValueError(f"got no {name}; expected at least one. Collect some.")
    bad = int((~np.isfinite(flat)).sum())
    if bad:
        raise ValueError(f"got {bad} of {flat.size} {name} not finite; expected numbers. Leave them out, counted.")
    return flat


def _acceleration(
    statistic: Callable[..., float], arrays: tuple[np.ndarray, ...], rng: np.random.Generator, blocks: int = 40
) -> float:
    """Return Efron's acceleration from a jackknife that leaves out one block of rows at a time."""
    n = len(arrays[0])
    parts = np.array_split(rng.permutation(n), min(n, blocks))
    kept = np.ones(n, dtype=bool)
    left: list[float] = []
    for part in parts:
        kept[part] = False
        left.append(float(statistic(*(one[kept] for one in arrays))))
        kept[part] = True
    values = np.asarray(left)
    values = values[np.isfinite(values)]
    deviations = values.mean() - values if len(values) > 2 else np.zeros(1)
    scale = float((deviations**2).sum() ** 1.5)
    # Blocks of equal size have the skewness of single rows divided by the root of the block size, and there are fewer
    # of them by the block size: the two cancel in this ratio.
    return float((deviations**3).sum()) / (6 * scale) if scale > 0 else 0.0


def _bias_corrected(draws: np.ndarray, value: float, acceleration: float, level: float) -> tuple[float, float]:
    below = float((draws < value).mean() + 0.5 * (draws == value).mean())
    edge = 0.5 / len(draws)
    bias = float(stats.norm.ppf(min(max(below, edge), 1 - edge)))
    ends: list[float] = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        z = bias + float(stats.norm.ppf(tail))
        shifted = bias + z / max(1 - acceleration * z, 0.1)
        ends.append(float(np.quantile(draws, float(stats.norm.cdf(shifted)))))
    return ends[0], ends[1]
