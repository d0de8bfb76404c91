"""The error of a procedure in three parts: what it gets wrong on average, what varies, and noise."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from equipoise.core.estimate import Estimate
from equipoise.stats.crossed import over_members_and_samples, share_of


@dataclass(frozen=True, slots=True)
class Decomposition:
    """An error and its parts: `error` is `bias` plus `variance`, exactly.

    Attributes:
        error: Mean error of one network.
        bias: Error of the average network; the noise of the targets is in it.
        variance: What one network loses against the average one; below 0 where the average one is worse.
    """

    error: Estimate
    bias: Estimate
    variance: Estimate


def decompose_squared(values: np.ndarray, targets: np.ndarray, scale: np.ndarray) -> Decomposition:
    """Return the parts of the mean squared error (Geman, Bienenstock and Doursat, Neural Computation 1992).

    The squared distance of the mean answer is freed of its own variance, so that neither part depends on how many
    networks there are.

    Args:
        values: Answers of each network (members, n, targets).
        targets: True values (n, targets).
        scale: What squared errors are divided by, one a target (targets,), such as the variance.
    """

    def error(some: np.ndarray) -> np.ndarray:
        each: np.ndarray = (((some - targets) ** 2).mean(0) / scale).mean(1)
        return each

    def variance(some: np.ndarray) -> np.ndarray:
        each: np.ndarray = (some.var(0, ddof=1) / scale).mean(1)
        return each

    return _parts(values.astype(np.float64), error, variance)


def decompose_decisions(decided: np.ndarray, targets: np.ndarray) -> Decomposition:
    """Return the parts of the share of wrong decisions (Domingos, ICML 2000).

    The average network says what most networks say (ties: the first class). Varying costs where that is right, and
    helps where it is wrong, so the variance is the difference of the two.

    Args:
        decided: Class indices of each network (members, n).
        targets: True class indices (n,).
    """

    def error(some: np.ndarray) -> np.ndarray:
        each: np.ndarray = (some != targets).mean(0)
        return each

    def variance(some: np.ndarray) -> np.ndarray:
        each: np.ndarray = error(some) - (main_decision(some) != targets)
        return each

    parts = _parts(decided, error, variance)
    n = decided.shape[1]
    return Decomposition(share_of(parts.error, n), share_of(parts.bias, n), parts.variance)


def main_decision(decided: np.ndarray) -> np.ndarray:
    """Return the class that most networks name for each sample (n,); the first of equals."""
    classes = int(decided.max()) + 1
    counts = np.stack([(decided == k).sum(0) for k in range(classes)])
    main: np.ndarray = counts.argmax(0)
    return main


def _parts(
    answers: np.ndarray, error: Callable[[np.ndarray], np.ndarray], variance: Callable[[np.ndarray], np.ndarray]
) -> Decomposition:
    return Decomposition(
        error=over_members_and_samples(error, answers),
        bias=over_members_and_samples(lambda some: error(some) - variance(some), answers),
        variance=over_members_and_samples(variance, answers),
    )
