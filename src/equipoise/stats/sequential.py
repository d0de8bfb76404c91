"""Paired differences looked at more than once: an exact test that may stop early."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from equipoise.stats.paired import signed_sums

LOOKS = (6, 10, 16)
"""Pairs after which a trial is looked at."""

MOST_PAIRS = 20
"""Most pairs whose sign patterns are all counted."""

EARLINESS = 0.3
"""Exponent of the spending: six pairs of sixteen may spend three quarters, so that six that agree can be enough."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at paired differences says.

    Attributes:
        n: Pairs seen.
        p_value: Exact two-sided p of the trial so far, the earlier looks accounted for, in (0, 1].
        spent: The part of the error rate that may be spent up to this look.
        rejects: Whether `p_value` is at most what may be spent: the differences are not symmetric about 0.
    """

    n: int
    p_value: float
    spent: float
    rejects: bool


def spending(share: float, alpha: float) -> float:
    """Return how much of an error rate may be spent when a share of the pairs is in, alpha * share ** EARLINESS.

    The power family of Kim and DeMets (Biometrika 1987).

    Args:
        share: Pairs seen out of all planned, in [0, 1].
        alpha: Error rate of the whole trial.
    """
    return alpha * min(max(share, 0.0), 1.0) ** EARLINESS


def look(differences: Sequence[float], alpha: float, looks: Sequence[int] = LOOKS) -> Look:
    """Return the verdict of the look that so many pairs call for.

    Exact conditional group-sequential test (Mehta, Patel and Senchaudhuri, Biometrika 1994): of all sign patterns that
    the pairs could have had, those count that would have stopped the trial at an earlier look, or lie as far from 0 as
    the observed one at this look. Where differences are symmetric about 0, a trial that stops at the first look that
    rejects is wrong with probability `alpha` at most.

    Args:
        differences: Treated minus untreated, one a pair, in the order in which they came; as many as one of `looks`.
        alpha: Two-sided error rate of the whole trial, in (0, 1).
        looks: Numbers of pairs after which the trial is looked at, rising; the last ends it.

    Raises:
        ValueError: A number of pairs at which no look is planned, too many of them, or a difference that is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) not in looks or len(values) > MOST_PAIRS or not np.isfinite(values).all():
        raise ValueError(
            f"got {len(values)} differences {values[:3]}; expected finite ones, as many as one of the looks "
            f"{tuple(looks)}, at most {MOST_PAIRS}. Look when so many pairs are in, and drop failed ones, counted."
        )
    distances = _distances(values)
    stopped = np.zeros(1, dtype=bool)
    before = 1  # the first sign stands for both
    for n in tuple(looks)[: list(looks).index(len(values))]:
        stopped = np.tile(stopped, 1 << (n - before))
        sums = distances(n)
        stopped = stopped | (sums >= _critical(sums[~stopped], float(stopped.mean()), spending(n / looks[-1], alpha)))
        before = n
    stopped = np.tile(stopped, 1 << (len(values) - before))
    sums = distances(len(values))
    p_value = float((stopped | (sums >= sums[0])).mean())  # of the first pattern, every sign is the observed one
    spent = spending(len(values) / looks[-1], alpha)
    return Look(len(values), p_value, spent, p_value <= spent)


def _distances(values: np.ndarray) -> Callable[[int], np.ndarray]:
    """Return a function of n that gives |sum| of the first n values under half of the sign patterns (2^(n-1),).

    Sums are rounded, so that those that are equal but for the order of adding are equal.
    """
    shares = values / max(float(np.abs(values).sum()), np.finfo(float).tiny)
    return lambda n: np.abs(np.round(signed_sums(shares[:n]), 12))


def _critical(going: np.ndarray, stopped: float, spent: float) -> float:
    """Return the smallest distance from 0 at which a look may stop a trial; infinite when none may.

    Args:
        going: Distances under the patterns that no earlier look has stopped.
        stopped: Share of all patterns that one has.
        spent: Share that may have been stopped after this look.
    """
    share = (1 - stopped) / len(going) if len(going) else 0.0
    distances, counts = np.unique(going, return_counts=True)
    beyond = stopped + share * np.cumsum(counts[::-1])[::-1]
    allowed = distances[beyond <= spent * (1 + 1e-12)]
    return float(allowed[0]) if len(allowed) else math.inf
