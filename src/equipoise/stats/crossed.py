"""Means over networks and samples at once: how sure they are when both were drawn."""

import math
from collections.abc import Callable

import numpy as np
from scipy import stats

from equipoise.core.estimate import Estimate

PerSample = Callable[[np.ndarray], np.ndarray]
"""Takes what some networks answered (members, n, ...), at least two, and returns one number a sample (n,)."""


def over_members_and_samples(per_sample: PerSample, answers: np.ndarray, *, level: float = 0.95) -> Estimate:
    """Return the mean of `per_sample` over samples with an interval for other networks and other samples.

    The variance is that of the mean over samples plus a jackknife over networks (Efron and Stein, Annals of Statistics
    1981: never too small in expectation), with Satterthwaite's degrees of freedom. `n` is the number of networks.

    Args:
        per_sample: The measure; of all networks, and of all but one.
        answers: One row of answers a network (members, n, ...), at least three of them.
        level: Confidence level.

    Raises:
        ValueError: Fewer than three networks.
    """
    members = len(answers)
    if members < 3:
        raise ValueError(f"got the answers of {members} networks; expected at least 3. Train more of them.")
    each = np.asarray(per_sample(answers), dtype=np.float64)
    kept = [np.delete(np.arange(members), k) for k in range(members)]
    without = np.array([float(per_sample(answers[one]).mean()) for one in kept])
    of_members = (members - 1) / members * float(((without - without.mean()) ** 2).sum())
    of_samples = float(each.var(ddof=1)) / len(each) if len(each) > 1 else 0.0
    total = of_members + of_samples
    value = float(each.mean())
    half = 0.0
    if total > 0:
        degrees = total**2 / (of_members**2 / (members - 1) + of_samples**2 / max(1, len(each) - 1))
        half = float(stats.t.ppf((1 + level) / 2, degrees)) * math.sqrt(total)
    return Estimate(
        value=value, low=value - half, high=value + half, n=members, level=level, method="jackknife over networks"
    )


def share_of(estimate: Estimate, samples: int) -> Estimate:
    """Return an estimate of a share, kept in [0, 1] and never surer of 0 than so many samples allow (rule of three)."""
    return estimate.replace(
        low=min(max(0.0, estimate.low), estimate.value),
        high=max(estimate.value, min(1.0, max(estimate.high, 3 / samples))),
    )
