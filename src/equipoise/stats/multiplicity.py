"""Many questions at once: how many alarms chance alone would raise."""

import math

import numpy as np
from scipy import stats

from equipoise.core.estimate import Estimate, Line


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Return p values adjusted for the false discovery rate, in their order (Benjamini and Hochberg, JRSS B 1995).

    Calling every test with an adjusted p of at most q a discovery keeps the expected share of false ones at most q.

    Raises:
        ValueError: A p value outside [0, 1].
    """
    values = np.asarray(p_values, dtype=np.float64).ravel()
    if values.size == 0:
        return values
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"got p values from {values.min()} to {values.max()}; expected all in [0, 1]. Check the tests."
        )
    adjusted: np.ndarray = stats.false_discovery_control(values)
    return adjusted


def one_sided_p(estimate: Estimate, threshold: float, worse: str) -> float:
    """Return about how probable a value at least this bad would be if the truth lay on the threshold.

    Found by turning the interval into a normal distribution on the side that faces the threshold; 0 or 1 for a value
    without uncertainty, 0.5 when the interval has no end on that side.

    Args:
        estimate: The measured value.
        threshold: The line it is judged by.
        worse: `above` or `below`: on which side of the line the bad values lie.
    """
    above = worse == "above"
    distance = estimate.value - threshold if above else threshold - estimate.value
    toward_good = distance > 0
    side = estimate.value - estimate.low if above == toward_good else estimate.high - estimate.value
    if not math.isfinite(side):
        return 0.5
    if side == 0 or estimate.level >= 1:
        return 0.0 if distance > 0 else 1.0
    scale = side / float(stats.norm.ppf((1 + estimate.level) / 2))
    return float(stats.norm.sf(distance / scale))


def threshold_p(estimate: Estimate, line: Line) -> float:
    """Return `one_sided_p` of an estimate against the warning threshold of its line."""
    return one_sided_p(estimate, line.warn, line.worse)
