"""Curves with few enough points to draw, losing no peak."""

import math
from collections.abc import Sequence

from equipoise.core.figure import Series

Curve = tuple[list[float], list[float], list[float], list[float]]


def thinned(series: Series, most: int) -> Series:
    """Return the series with at most `most` points, each neighbourhood keeping its lowest and highest value.

    Where the series has a band, the kept points carry the lowest `low` and highest `high` of their neighbourhood.
    Lists of unequal length are cut to the shortest; `low` and `high` are dropped when only one is given.
    """
    count = min(len(series.x), len(series.y))
    banded = bool(series.low) and bool(series.high)
    if banded:
        count = min(count, len(series.low), len(series.high))
    cut = Series(
        name=series.name,
        x=series.x[:count],
        y=series.y[:count],
        low=series.low[:count] if banded else (),
        high=series.high[:count] if banded else (),
        style=series.style,
    )
    return cut if count <= most else _bucketed(cut, count, max(1, most // 2))


def _bucketed(series: Series, count: int, buckets: int) -> Series:
    kept: list[int] = []
    low: list[float] = []
    high: list[float] = []
    for bucket in range(buckets):
        members = range(bucket * count // buckets, (bucket + 1) * count // buckets)
        chosen = sorted({_extreme(series.y, members, -1), _extreme(series.y, members, 1)})
        kept += chosen
        if series.low:
            low += [_finite_or_nan(series.low, members, -1)] * len(chosen)
            high += [_finite_or_nan(series.high, members, 1)] * len(chosen)
    return Series(
        name=series.name,
        x=tuple(series.x[one] for one in kept),
        y=tuple(series.y[one] for one in kept),
        low=tuple(low),
        high=tuple(high),
        style=series.style,
    )


def _extreme(values: Sequence[float], members: range, sign: int) -> int:
    """Return the position of the largest of `sign * values`; anything finite beats what is not a number."""
    return max(members, key=lambda one: -math.inf if math.isnan(values[one]) else sign * values[one])


def _finite_or_nan(values: Sequence[float], members: range, sign: int) -> float:
    return values[_extreme(values, members, sign)]
