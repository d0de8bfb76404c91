"""Intervals and bars as positions in percent, so that the page can draw them at any width."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Bars
from equipoise.report.numbers import line_text, number, shown

_MARGIN = 0.12


@dataclass(frozen=True, slots=True)
class Whisker:
    """An interval against its lines; every place is a percentage of the width, `None` when there is no such mark."""

    value: float | None
    start: float
    length: float
    warn: float | None
    fail: float | None
    worse: str
    label: str
    zero: float | None = None
    open_low: bool = False
    open_high: bool = False

    @property
    def warn_zone(self) -> tuple[float, float] | None:
        """Start and length of the stretch between the warning and the failure line."""
        if self.warn is None or self.fail is None:
            return None
        return min(self.warn, self.fail), abs(self.fail - self.warn)

    @property
    def fail_zone(self) -> tuple[float, float] | None:
        """Start and length of the stretch beyond the failure line."""
        if self.fail is None:
            return None
        return (self.fail, 100.0 - self.fail) if self.worse == "above" else (0.0, self.fail)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar from zero, with its interval; places are percentages of the track."""

    label: str
    text: str
    start: float
    length: float
    interval: tuple[float, float] | None
    finite: bool
    zero: float


def whisker(estimate: Estimate, line: Line | None, *, beside: Sequence[Estimate] = ()) -> Whisker | None:
    """Return where to draw an interval and its lines, or `None` when nothing about it is finite.

    Args:
        estimate: What to draw.
        line: Its thresholds, if it is judged.
        beside: Differences that are drawn under each other: all share one axis, on which zero is marked.
    """
    marks = [end for one in (estimate, *beside) for end in (one.value, one.low, one.high)]
    marks += [line.warn, line.fail] if line else []
    marks += [0.0] if beside else []
    finite = [one for one in marks if math.isfinite(one)]
    if not finite:
        return None
    low, high = _padded(min(finite), max(finite))

    def place(value: float) -> float:
        return round(min(100.0, max(0.0, 100.0 * _share(value, low, high))), 1)

    start, end = place(estimate.low), place(estimate.high)
    label = f"{shown(estimate)}; {line_text(line, estimate)}" if line else str(shown(estimate))
    return Whisker(
        value=place(estimate.value) if math.isfinite(estimate.value) else None,
        start=start,
        length=round(end - start, 1),
        warn=place(line.warn) if line and math.isfinite(line.warn) else None,
        fail=place(line.fail) if line and math.isfinite(line.fail) else None,
        worse=line.worse if line else "above",
        label=label,
        zero=place(0.0) if beside else None,
        open_low=math.isinf(estimate.low),
        open_high=math.isinf(estimate.high),
    )


def bars(figure: Bars) -> tuple[Bar, ...]:
    """Return one bar a label; lists of unequal length are cut to the shortest."""
    lows: Sequence[float] = figure.low if figure.low and figure.high else figure.values
    highs: Sequence[float] = figure.high if figure.low and figure.high else figure.values
    rows = list(zip(figure.labels, figure.values, lows, highs, strict=False))
    finite = [one for row in rows for one in row[1:] if math.isfinite(one)]
    bottom, top = min([0.0, *finite]), max([0.0, *finite])
    top = top if top > bottom else 1.0

    def place(value: float) -> float:
        return round(min(100.0, max(0.0, 100.0 * _share(value, bottom, top))), 1)

    drawn = []
    for label, value, low, high in rows:
        if math.isnan(value):
            drawn.append(
                Bar(label=label, text="n/a", start=place(0.0), length=0.0, interval=None, finite=False, zero=place(0.0))
            )
            continue
        start, end = sorted((place(0.0), place(value)))
        ends = (place(low), round(place(high) - place(low), 1)) if low < high else None
        drawn.append(
            Bar(
                label=label,
                text=_bar_text(value, low, high),
                start=start,
                length=round(end - start, 1),
                interval=ends,
                finite=math.isfinite(value),
                zero=place(0.0),
            )
        )
    return tuple(drawn)


def _bar_text(value: float, low: float, high: float) -> str:
    if not low < high or not low <= value <= high:
        return number(value)
    return str(shown(Estimate(value=value, low=low, high=high, n=1)))


def _padded(low: float, high: float) -> tuple[float, float]:
    # Halved first: the width of the widest floats would not be finite.
    margin = 2 * _MARGIN * (high / 2 - low / 2) or abs(high) * 0.5 or 1.0
    return low - margin, high + margin


def _share(value: float, low: float, high: float) -> float:
    if math.isinf(value):
        return 1.0 if value > 0 else 0.0
    return (value / 2 - low / 2) / (high / 2 - low / 2)
