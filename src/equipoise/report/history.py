"""The training history as figures: loss, score, step size and whatever else was measured."""

import math
from collections.abc import Iterable

from equipoise.core.figure import Curves, Series
from equipoise.core.vital import Vital
from equipoise.report.numbers import name_text

_FIRST = ("loss", "score", "learning_rate", "gradient_norm")
_PARTS = ("train", "validation", "test", "")
_LOG_RATIO = 30.0
# A warm-up from nothing or a decay to nothing would fill a logarithmic axis of the learning rate with its ends.
_LOGARITHMIC = ("loss", "gradient_norm")


def history(vitals: Iterable[Vital]) -> tuple[Curves, ...]:
    """Return one figure a measured quantity: the median of each bucket of steps, with its minimum and maximum as band.

    Loss, score, learning rate and gradient norm come first. The axis of loss and gradient norm is logarithmic when
    every value is positive and the largest is more than 30 times the smallest.
    """
    groups: dict[tuple[str, str], list[Vital]] = {}
    for vital in vitals:
        groups.setdefault((vital.name, vital.unit), []).append(vital)
    order = sorted(groups, key=lambda key: _place(key[0], _FIRST))
    return tuple(_figure(name, unit, groups[name, unit]) for name, unit in order)


def _figure(name: str, unit: str, vitals: list[Vital]) -> Curves:
    ordered = sorted(vitals, key=lambda vital: _place(vital.part, _PARTS))
    words = name_text(name)
    values = [one for vital in ordered for one in vital.values if math.isfinite(one)]
    wide = name in _LOGARITHMIC and bool(values) and min(values) > 0 and max(values) > _LOG_RATIO * min(values)
    only = f" ({ordered[0].part})" if len(ordered) == 1 and ordered[0].part not in ("", "train") else ""
    return Curves(
        title=words[:1].upper() + words[1:] + only,
        x_label="step",
        y_label=words if unit in ("1", "") else f"{words} ({unit})",
        series=tuple(_series(vital) for vital in ordered),
        log_y=wide,
    )


def _series(vital: Vital) -> Series:
    banded = vital.low != vital.values or vital.high != vital.values
    return Series(
        name=vital.part or name_text(vital.name),
        x=tuple(float(one) for one in vital.steps),
        y=vital.values,
        low=vital.low if banded else (),
        high=vital.high if banded else (),
    )


def _place(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)
