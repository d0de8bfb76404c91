"""Exact tests for pairs: the same samples or the same seeds under two conditions."""

import math

import numpy as np
from scipy import stats

from equipoise.core.estimate import Estimate

EXACT_UP_TO = 22
"""Most pairs for which every one of the 2^n sign patterns is counted."""


def sign_flip_p(differences: np.ndarray) -> float:
    """Return the two-sided p of the sign-flip test that paired differences are symmetric about 0 (Fisher, 1935).

    Exact, by counting all sign patterns, up to `EXACT_UP_TO` pairs; beyond that from 100,000 fixed random patterns,
    with the observed one counted in, so that the p is never too small. The smallest p that n pairs allow is 2 / 2^n.

    Args:
        differences: One paired difference a seed or sample (n,).

    Raises:
        ValueError: No differences, or one that is not finite.
    """
    values = _finite(differences)
    observed = abs(float(values.sum()))
    tolerance = 1e-9 * float(np.abs(values).sum())
    if values.size > EXACT_UP_TO:
        rng = np.random.default_rng(0)
        sums = np.concatenate([(rng.integers(0, 2, (1000, values.size)) * 2 - 1) @ values for _ in range(100)])
        return float((1 + (np.abs(sums) >= observed - tolerance).sum()) / (1 + sums.size))
    return float((np.abs(signed_sums(values)) >= observed - tolerance).mean())


def _finite(differences: np.ndarray) -> np.ndarray:
    values = np.asarray(differences, dtype=np.float64).ravel()
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"got differences {values[:5]}; expected one or more, finite. Drop failed pairs, counted.")
    return values


def signed_sums(values: np.ndarray) -> np.ndarray:
    """Return the sum under half of the sign patterns (2^(n-1),), the observed one first; the others mirror them."""
    sums = values[:1].copy()
    for value in values[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def sign_flip_interval(differences: np.ndarray, *, level: float = 0.95, unit: str = "1") -> Estimate:
    """Return the mean of paired differences with the interval of all shifts that the sign-flip test does not reject.

    It covers the centre of symmetric differences with at least that probability, however many or few they are. Its ends
    are infinite where so few pairs can reject nothing: six are needed at 95 %.

    Args:
        differences: One paired difference a seed or sample (n,).
        level: Confidence level.
        unit: Unit of the differences.

    Raises:
        ValueError: No differences, more than `EXACT_UP_TO`, or one that is not finite.
    """
    values = _finite(differences)
    if values.size > EXACT_UP_TO:
        raise ValueError(
            f"got {values.size} differences; expected at most {EXACT_UP_TO}. For so many, use mean: they are normal."
        )
    value, low, high = float(values.mean()), -math.inf, math.inf
    if 2.0 ** (1 - values.size) <= 1 - level:
        low, high = _ends(values, 1 - level)
    return Estimate(
        value=value,
        low=min(low, value),
        high=max(high, value),
        n=values.size,
        unit=unit,
        level=level,
        method="sign flips",
    )


def _ends(values: np.ndarray, alpha: float) -> tuple[float, float]:
    """Return the farthest shifts on both sides of the mean that the sign-flip test does not reject, by halving."""
    sums, signs = signed_sums(values), signed_sums(np.ones(values.size))
    tolerance = 1e-9 * float(np.abs(values).sum())

    def end(rejected: float) -> float:
        kept = float(values.mean())
        for _ in range(40):
            shift = (kept + rejected) / 2
            far = np.abs(sums - shift * signs)  # the sums of the shifted differences
            kept, rejected = (shift, rejected) if (far >= far[0] - tolerance).mean() > alpha else (kept, shift)
        return rejected

    slack = 1e-6 * float(np.ptp(values))  # beyond the farthest value all signs agree
    return end(float(values.min()) - slack), end(float(values.max()) + slack)


def mcnemar_p(b: int, c: int) -> float:
    """Return the exact two-sided p of McNemar's test (Psychometrika 1947): are the two kinds of discordant pair alike?

    Args:
        b: Pairs that only the first condition got right.
        c: Pairs that only the second condition got right.
    """
    if b < 0 or c < 0:
        raise ValueError(f"got counts {b} and {c}; expected none below 0. Count the discordant pairs again.")
    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)
