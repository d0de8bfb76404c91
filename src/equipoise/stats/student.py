"""Quantiles of Student's distribution in plain Python, for those who may not load a library for one number."""

import functools
import math
from statistics import NormalDist

_CLOSE = 1e-13
_TINY = 1e-300


@functools.lru_cache(maxsize=256)
def student_quantile(degrees: float, tail: float) -> float:
    """Return the value that Student's t exceeds with probability `tail`.

    Newton's method on the logarithms of tail and value, in which the tail is concave, so that it converges from
    anywhere.

    Args:
        degrees: Degrees of freedom, at least 1.
        tail: Probability, in (0, 0.5).

    Raises:
        ValueError: Either is out of range.
    """
    if not degrees >= 1 or not 0 < tail < 0.5:
        raise ValueError(
            f"got {degrees} degrees of freedom and a tail of {tail}; expected at least 1 and a tail in (0, 0.5). "
            "Give the probability of the upper tail."
        )
    log_density = -0.5 * math.log(degrees) - _log_beta(degrees / 2, 0.5)
    place = math.log(max(NormalDist().inv_cdf(1 - max(tail, 1e-16)), 1e-3))
    for _ in range(100):
        value = math.exp(place)
        above = student_tail(degrees, value)
        density = math.exp(log_density - (degrees + 1) / 2 * math.log1p(value * value / degrees))
        move = math.log(above / tail) * above / (density * value)
        place += move
        if abs(move) < _CLOSE:
            break
    return math.exp(place)


def student_tail(degrees: float, value: float) -> float:
    """Return the probability that Student's t exceeds a value of at least 0."""
    square = value * value
    return 0.5 * _incomplete_beta(degrees / (degrees + square), square / (degrees + square), degrees / 2, 0.5)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function of `x` = 1 - `rest`.

    The continued fraction of DLMF 8.17.22, evaluated by Lentz's method, on the side where it converges fast.
    """
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(rest, x, b, a)
    if x <= 0:
        return 0.0
    fraction, c, d = 1.0, 1.0, 0.0
    for number in range(1000):
        half = number // 2
        if number == 0:
            term = 1.0
        elif number % 2:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        d = 1 / (1 + term * d or _TINY)
        c = 1 + term / c or _TINY
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return (fraction - 1) * math.exp(a * math.log(x) + b * math.log(rest) - _log_beta(a, b)) / a
