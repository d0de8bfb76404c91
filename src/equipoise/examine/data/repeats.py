"""Finds samples that occur more than once, exactly or nearly."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

FIRST, LAST = 10, 20
"""Neighbours between which the local dimension is measured: far enough out not to be repeats themselves."""

CHANCE = 0.002
"""Share of samples that a smooth density without repeats would still call near-repeats."""


def fingerprints(inputs: np.ndarray) -> list[bytes]:
    """Return one digest a row of (n, ...); equal for rows of equal bits, where any NaN equals any other."""
    flat = np.ascontiguousarray(inputs.reshape(len(inputs), -1))
    if np.issubdtype(flat.dtype, np.floating):
        # Adding 0 turns -0.0 into 0.0.
        flat = np.where(np.isnan(flat), np.array(np.nan, dtype=flat.dtype), flat) + flat.dtype.type(0)
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in flat]


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


def near_repeats(samples: np.ndarray, train: np.ndarray) -> Neighbours | None:
    """Return which samples lie nearer to a training sample than the training samples' own spacing explains.

    Around a sample of a smooth density in d dimensions, (r1 / rk)^d of the first and k-th neighbour's distances follows
    a Beta(1, k - 1) distribution, whatever the density. d comes from the 10th and 20th neighbours within the training
    part (after Levina and Bickel, NeurIPS 2004), and k = 10; a ratio that is rarer than `CHANCE` is a near-repeat. A
    burst of ten or more copies hides itself, since the tenth neighbour is then a copy too.

    Args:
        samples: (n, features), standardised.
        train: (m, features), standardised.

    Returns:
        None with too few training samples, or where most have 10 exact copies and there is no spacing.
    """
    if len(train) < 3 * LAST:
        return None
    index = NearestNeighbors(n_neighbors=LAST + 1, algorithm="brute").fit(train)
    # The first neighbour of a training sample is itself.
    own = np.asarray(index.kneighbors(train[: min(len(train), 1000)])[0])[:, 1:]
    spaced = own[:, FIRST - 1] > 0
    if spaced.mean() < 0.5:
        return None
    logs = np.log(own[spaced, LAST - 1] / own[spaced, FIRST - 1])
    harmonic = sum(1 / j for j in range(FIRST, LAST))
    dimension = harmonic / float(logs.mean()) if logs.mean() > 0 else math.inf
    if not math.isfinite(dimension):
        return None
    distances, neighbours = (np.asarray(one) for one in index.kneighbors(samples))
    ratio = distances[:, 0] / np.maximum(distances[:, FIRST - 1], 1e-30)
    limit = (1 - (1 - CHANCE) ** (1 / (FIRST - 1))) ** (1 / dimension)
    return Neighbours(neighbours[:, 0], distances[:, 0], (ratio < limit) & (distances[:, FIRST - 1] > 0), dimension)
