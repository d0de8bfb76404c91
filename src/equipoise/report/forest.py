"""A forest plot: the effects of treatments with their intervals, one row each, on one axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

from equipoise.core.trial import Trial
from equipoise.report.numbers import number, shown
from equipoise.report.printable import one_line, shortened

LABELS, PLOT, TEXTS, ROW, HEAD, FOOT = 190, 310, 280, 26, 26, 46
"""Widths of the three columns and heights of a row, of the space above the rows and of that below, in SVG units."""

COLOURS = {
    "adopted": "var(--pass)",
    "harmful": "var(--fail)",
    "no difference": "var(--muted)",
    "unsure": "var(--unsure)",
}
MOST_TICKS = 6

BEYOND = 4.0
"""Intervals are cut, with an arrow, where they reach this many times beyond the usual one: else one disaster would
squeeze all the others into a point."""


@dataclass(frozen=True, slots=True)
class Forest:
    """A forest plot.

    Attributes:
        metric: What was compared.
        svg: The drawing.
        cut: Whether an interval reaches beyond the axis.
    """

    metric: str
    svg: Markup
    cut: bool


@dataclass(frozen=True, slots=True)
class Axis:
    """The axis of the plot, from `low` to `high`."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where a value lies, in SVG units; beyond the axis, its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(LABELS + PLOT * share, 1)

    def beyond(self, value: float) -> bool:
        """Return whether a value lies outside."""
        return not self.low <= value <= self.high


def forests(trials: Sequence[Trial]) -> tuple[Forest, ...]:
    """Return one plot a metric, the trials from above in the order in which they were made."""
    metrics = dict.fromkeys(trial.metric for trial in trials)
    return tuple(_forest(metric, [trial for trial in trials if trial.metric == metric]) for metric in metrics)


def _forest(metric: str, trials: Sequence[Trial]) -> Forest:
    axis = _axis(trials)
    height = HEAD + ROW * len(trials) + FOOT
    bottom = HEAD + ROW * len(trials)
    parts = [
        Markup('<svg class="forest" role="img" viewBox="0 0 {} {}" aria-label="{}">').format(
            LABELS + PLOT + TEXTS, height, _described(metric, trials)
        ),
        *(_row(trial, place, axis) for place, trial in enumerate(trials)),
        _line(axis.place(0.0), HEAD - 8, axis.place(0.0), bottom, "var(--ink)", 1.0),
        *_ticks(axis, bottom),
        _text(axis.place(0.0) - 8, 12, "worse", "var(--muted)", "end"),
        _text(axis.place(0.0) + 8, 12, "better", "var(--muted)"),
        _text(LABELS + PLOT / 2, height - 6, f"treated minus untreated, {metric}", "var(--muted)", "middle"),
        Markup("</svg>"),
    ]
    cut = any(axis.beyond(end) for trial in trials for end in (trial.effect.low, trial.effect.high))
    return Forest(metric, Markup("").join(parts), cut)


def _axis(trials: Sequence[Trial]) -> Axis:
    ends = [end for trial in trials for end in (trial.effect.low, trial.effect.high, trial.effect.value)]
    finite = [one for one in ends if math.isfinite(one)]
    widest = max([trial.margin for trial in trials], default=0.0)
    usual = max(median(map(abs, finite)) if finite else 0.0, widest) or 1.0
    low = max(min([0.0, -widest, *finite]), -BEYOND * usual)
    high = min(max([0.0, widest, *finite]), BEYOND * usual)
    room = 0.06 * (high - low) or usual
    return Axis(low - room, high + room)


def _row(trial: Trial, place: int, axis: Axis) -> Markup:
    middle = HEAD + ROW * place + ROW / 2
    colour = COLOURS[trial.outcome]
    effect = trial.effect
    left, right = axis.place(effect.low), axis.place(effect.high)
    band = axis.place(-trial.margin), axis.place(trial.margin)
    parts = [
        Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="var(--sunk)"/>').format(
            band[0], middle - ROW / 2, round(band[1] - band[0], 1), ROW
        ),
        _text(LABELS - 12, middle + 4, shortened(one_line(trial.treatment), 26), "var(--ink)", "end"),
        _line(left, middle, right, middle, colour, 2.0),
    ]
    if effect.high >= axis.low:
        parts.append(_end(right, middle, axis.beyond(effect.high), 1, colour))
    if effect.low <= axis.high:
        parts.append(_end(left, middle, axis.beyond(effect.low), -1, colour))
    if math.isfinite(effect.value) and not axis.beyond(effect.value):
        inside = colour if trial.outcome in ("adopted", "harmful") else "var(--paper)"
        parts.append(
            Markup('<circle cx="{}" cy="{}" r="4.5" fill="{}" stroke="{}" stroke-width="2"/>').format(
                axis.place(effect.value), middle, inside, colour
            )
        )
    parts.append(_text(LABELS + PLOT + 12, middle + 4, f"{shown(effect)}", "var(--ink)"))
    parts.append(_text(LABELS + PLOT + TEXTS, middle + 4, trial.outcome, colour, "end"))
    return Markup("").join(parts)


def _end(x: float, y: float, beyond: bool, side: int, colour: str) -> Markup:
    if beyond:
        path = f"M{x - 6 * side} {y - 4}L{x} {y}L{x - 6 * side} {y + 4}"
        return Markup('<path d="{}" fill="none" stroke="{}" stroke-width="2"/>').format(path, colour)
    return _line(x, y - 4, x, y + 4, colour, 2.0)


def _ticks(axis: Axis, bottom: float) -> list[Markup]:
    step = 10.0 ** math.floor(math.log10((axis.high - axis.low) / MOST_TICKS))
    step = next(step * factor for factor in (1, 2, 5, 10) if (axis.high - axis.low) / (step * factor) <= MOST_TICKS)
    first = math.ceil(axis.low / step)
    values = [round(k * step, 12) for k in range(first, math.floor(axis.high / step) + 1)]
    drawn = [_line(LABELS, bottom, LABELS + PLOT, bottom, "var(--rule-strong)", 1.0)]
    for value in values:
        drawn.append(_line(axis.place(value), bottom, axis.place(value), bottom + 4, "var(--rule-strong)", 1.0))
        drawn.append(_text(axis.place(value), bottom + 17, number(value), "var(--muted)", "middle"))
    return drawn


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> Markup:
    return Markup('<path d="M{} {}L{} {}" stroke="{}" stroke-width="{}"/>').format(x1, y1, x2, y2, colour, width)


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> Markup:
    return Markup('<text x="{}" y="{}" fill="{}" text-anchor="{}">{}</text>').format(x, y, colour, anchor, text)


def _described(metric: str, trials: Sequence[Trial]) -> str:
    rows = "; ".join(f"{one_line(one.treatment)} {shown(one.effect)}, {one.outcome}" for one in trials)
    return f"Effects of treatments on {metric}: {rows}."
