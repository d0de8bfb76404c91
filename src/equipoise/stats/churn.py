"""How much two networks that were trained alike disagree."""

import numpy as np

from equipoise.core.estimate import Estimate
from equipoise.stats.crossed import over_members_and_samples, share_of


def churn(decided: np.ndarray) -> Estimate:
    """Return the share of samples on which two networks decide differently (Milani Fard et al., NeurIPS 2016).

    The mean over all pairs of networks, for pairs and samples that were drawn at random.

    Args:
        decided: Class indices of each network (members, n) or (members, n, ...); further axes are averaged.
    """
    return share_of(over_members_and_samples(disagreement, decided), decided.shape[1])


def disagreement(decided: np.ndarray) -> np.ndarray:
    """Return for each sample the share of pairs of networks that decide differently (n,)."""
    members = len(decided)
    agreeing = np.zeros(decided.shape[1:])
    for value in np.unique(decided):
        count = (decided == value).sum(0)
        agreeing += count * (count - 1)
    apart: np.ndarray = 1 - agreeing / (members * (members - 1))
    return apart.reshape(len(apart), -1).mean(1)


def spread(values: np.ndarray, scale: float) -> Estimate:
    """Return the root of the mean squared difference of two networks' answers, in units of `scale`.

    Args:
        values: Answers of each network (members, n, ...).
        scale: What differences are measured by, such as the targets' standard deviation.
    """
    squared = over_members_and_samples(lambda one: _squared(one) / scale**2, values)
    low, high = max(0.0, squared.low), squared.high
    return squared.replace(value=squared.value**0.5, low=low**0.5, high=high**0.5)


def _squared(values: np.ndarray) -> np.ndarray:
    """Return the mean squared difference of two of the networks for each sample: twice the variance between them."""
    twice: np.ndarray = 2 * values.reshape(*values.shape[:2], -1).var(0, ddof=1)
    return twice.mean(1)
