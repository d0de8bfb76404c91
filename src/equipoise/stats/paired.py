"""Exact tests for pairs: the same samples or the same seeds under two conditions."""

import numpy as np
from scipy import stats

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
    values = np.asarray(differences, dtype=np.float64).ravel()
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"got differences {values[:5]}; expected one or more, finite. Drop failed pairs, counted.")
    observed = abs(float(values.sum()))
    tolerance = 1e-9 * float(np.abs(values).sum())
    if values.size > EXACT_UP_TO:
        rng = np.random.default_rng(0)
        sums = np.concatenate([(rng.integers(0, 2, (1000, values.size)) * 2 - 1) @ values for _ in range(100)])
        return float((1 + (np.abs(sums) >= observed - tolerance).sum()) / (1 + sums.size))
    # The mirrored patterns give the mirrored sums, so half of them suffice for a two-sided p.
    sums = values[:1].copy()
    for value in values[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return float((np.abs(sums) >= observed - tolerance).mean())


def mcnemar_p(b: int, c: int) -> float:
    """Return the exact two-sided p of McNemar's test (Psychometrika 1947): are the two kinds of discordant pair alike?

    Args:
        b: Pairs that only the first condition got right.
        c: Pairs that only the second condition got right.
    """
    if b < 0 or c < 0:
        raise ValueError(f"got counts {b} and {c}; expected none below 0. Count the discordant pairs again.")
    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)
