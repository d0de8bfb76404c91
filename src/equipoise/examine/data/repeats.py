"""Finds samples that occur more than once, exactly or nearly."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom, hypergeom
from sklearn.neighbors import NearestNeighbors

FIRST, LAST = 10, 20
"""Neighbours between which the local dimension is measured: far enough out not to be repeats themselves."""

CHANCE = 0.002
"""Share of samples that a smooth density without repeats would still call near-repeats."""


OWN_RATE = 0.01
"""Share of training samples that the limit taken from the training part itself calls near-repeats."""

SURPRISE = 0.01
"""Chance below which more (near-)repeats than expected are taken for leaks."""

COUNTABLE = 1000
"""Inputs are coarse where at most so many times more inputs are possible than there are samples."""


def chance_of_repeat(inputs: np.ndarray, others: int) -> float:
    """Return the chance that a sample equals one of `others` samples by accident, were its columns independent.

    High only for inputs with few possible values, such as a table of a few categories, where repeats mean nothing: 1
    where there are no more possible inputs than samples.

    Args:
        inputs: Samples (n, ...) that show how often each value occurs.
        others: How many samples it might equal.
    """
    flat = inputs.reshape(len(inputs), -1)
    if _fewer_possible(flat):
        return 1.0
    logarithm = math.log(max(others, 1))
    for column in flat.T:
        _, counts = np.unique(column, return_counts=True)
        logarithm += math.log(float(((counts / len(column)) ** 2).sum()))
        if logarithm < -20:
            return 0.0
    return 1 - math.exp(-math.exp(min(logarithm, 50.0)))


def _fewer_possible(flat: np.ndarray) -> bool:
    """Whether the columns' values combine to no more inputs than there are samples."""
    possible = 1
    for column in flat.T:
        possible *= len(np.unique(column))
        if possible > len(flat):
            return False
    return True


def own_repeats(inputs: np.ndarray, keys: list[bytes]) -> int:
    """Return how many samples equal another one of the same part, where inputs are coarse enough for it by accident.

    0 where a column's many values make an accident implausible: there a repeat within one part is a copy, as it is
    between two.

    Args:
        inputs: Samples (n, ...).
        keys: Their fingerprints.
    """
    if math.log(COUNTABLE * max(len(inputs), 1)) < _log_possible(inputs.reshape(len(inputs), -1)):
        return 0
    counts = Counter(keys)
    return sum(counts[key] > 1 for key in keys)


def _log_possible(flat: np.ndarray) -> float:
    return sum(math.log(len(np.unique(column))) for column in flat.T)


def beyond_chance(found: int, n: int, chance: float) -> bool:
    """Whether `found` of n samples are more than a known chance a sample explains."""
    return bool(found > 0 and binom.sf(found - 1, n, chance) < SURPRISE)


def beyond_rate(found: int, n: int, own: int, m: int) -> bool:
    """Whether `found` of n samples are more than the rate of `own` of m training samples explains (Fisher, exact)."""
    return bool(found > 0 and hypergeom.sf(found - 1, n + m, found + own, n) < SURPRISE)


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest training sample of each sample, and how strange its nearness is.

    Attributes:
        nearest: Position of the nearest training sample (n,).
        distance: Its distance (n,).
        near: Whether it is nearer than chance allows (n,): a near-repeat.
        dimension: Local dimension of the training samples.
    """

    nearest: np.ndarray
    distance: np.ndarray
    near: np.ndarray
    dimension: float


def near_repeats(
    samples: np.ndarray, train: np.ndarray, *, single: np.ndarray | None = None, smooth: bool = False
) -> Neighbours | None:
    """Return which samples lie nearer to a training sample than the training samples' own spacing explains.

    Around a sample of a smooth density in d dimensions, (r1 / rk)^d of the first and k-th neighbour's distances follows
    a Beta(1, k - 1) distribution, whatever the density. d comes from the 10th and 20th neighbours within the training
    part (after Levina and Bickel, NeurIPS 2004), and k = 10; a ratio that is rarer than `CHANCE` is a near-repeat. A
    burst of ten or more copies hides itself, since the tenth neighbour is then a copy too.

    Filled gaps, categories and whole numbers put samples on planes of fewer dimensions, where the law does not hold.
    Features with such recurring values are held against the training samples themselves, each left out once: the
    limits are their lowest ratio and the one that `OWN_RATE` of them fall below, where those are lower, and the samples
    below must be more than their rate explains. Near-copies as common within the training part count as its grain.

    Either way, when the samples below the limit are no more than chance gives, only those are called near-repeats
    whose ratio is too rare for as many samples as there are; none where the law does not hold.

    Args:
        samples: (n, features), standardised.
        train: (m, features), standardised.
        single: Training samples (m,) that equal no other one; the others set no limit. All when None.
        smooth: Whether recurring values are no sign of planes, as in pictures.

    Returns:
        None with too few training samples, or where most have 10 exact copies and there is no spacing.
    """
    if len(train) < 3 * LAST:
        return None
    index = NearestNeighbors(n_neighbors=LAST + 1, algorithm="brute").fit(train)
    rows = np.unique(np.linspace(0, len(train) - 1, min(len(train), 1000)).astype(np.int64))
    # The first neighbour of a training sample is itself.
    own = np.asarray(index.kneighbors(train[rows])[0])[:, 1:]
    spaced = own[:, FIRST - 1] > 0
    if spaced.mean() < 0.5:
        return None
    logs = np.log(own[spaced, LAST - 1] / own[spaced, FIRST - 1])
    harmonic = sum(1 / j for j in range(FIRST, LAST))
    dimension = harmonic / float(logs.mean()) if logs.mean() > 0 else math.inf
    if not math.isfinite(dimension):
        return None
    distances, neighbours = (np.asarray(one) for one in index.kneighbors(samples))
    ratio = _ratios(distances)
    if smooth or not _recurring(train):
        near = ratio < _limit(CHANCE, dimension)
        if not beyond_chance(int(near.sum()), len(near), CHANCE):
            near = ratio < _limit(min(CHANCE, SURPRISE / len(near)), dimension)
    else:
        known = _ratios(own[spaced if single is None else spaced & single[rows]])
        known = known if len(known) else np.zeros(1)
        near = np.zeros(len(ratio), dtype=bool)
        # The lowest ratio of all tells few copies apart from chance, the higher limit many that are less near.
        for share in (0.0, OWN_RATE):
            limit = min(_limit(CHANCE, dimension), float(np.quantile(known, share)))
            below = ratio < limit
            if beyond_rate(int(below.sum()), len(ratio), int((known < limit).sum()), len(known)):
                near = below
    return Neighbours(neighbours[:, 0], distances[:, 0], near, dimension)


def _ratios(distances: np.ndarray) -> np.ndarray:
    """Return first over tenth distance (n,) of sorted distances (n, neighbours); 1 where the tenth is 0."""
    tenth = distances[:, FIRST - 1]
    return np.where(tenth > 0, distances[:, 0] / np.maximum(tenth, 1e-30), 1.0)


def _limit(chance: float, dimension: float) -> float:
    """Return the ratio below which a smooth density puts a share `chance` of samples."""
    return float((1 - (1 - chance) ** (1 / (FIRST - 1))) ** (1 / dimension))


def _recurring(features: np.ndarray) -> bool:
    """Whether one value makes up over 2 % of a column that varies, as filled gaps and categories do."""
    for column in features.T:
        _, counts = np.unique(column, return_counts=True)
        if len(counts) > 1 and counts.max() > max(0.02 * len(column), 2):
            return True
    return False
