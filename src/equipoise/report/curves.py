"""Curves drawn by matplotlib, with their legend and description left to the page."""

import io
import math
import warnings
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from equipoise.core.figure import Curves, Series
from equipoise.report.numbers import number
from equipoise.report.printable import one_line, shortened
from equipoise.report.svg import page_svg
from equipoise.report.thinning import thinned

MOST_POINTS, MOST_SERIES, COLOURS = 600, 12, 6
WIDTH, HEIGHT = 420.0, 250.0
# Each is drawn in a colour of its own that the page's CSS then decides, so that drawings follow light and dark.
_INK, _MUTED, _RULE = "#fd0001", "#fd0002", "#fd0003"
_SERIES = tuple(f"#fe00{place:02x}" for place in range(1, COLOURS + 1))
_CSS = {_INK: "var(--ink)", _MUTED: "var(--muted)", _RULE: "var(--rule)"} | {
    colour: f"var(--s{place})" for place, colour in enumerate(_SERIES, start=1)
}
_DASHES = ((), (5.0, 2.5), (1.5, 2.0), (8.0, 2.5, 1.5, 2.5))
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "equipoise",
    "text.parse_math": False,
    "path.simplify": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.unicode_minus": True,
}
_HUGE = 1e290
_CHARACTER = 6.2  # width of a digit of the page's fonts at the size of the labels, with a little to spare


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend: a name with the colour, dashes and mark that it is drawn with."""

    name: str
    colour: str
    dashes: str
    mark: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing as inline SVG, its legend, and what it leaves out; `svg` is empty when there is nothing to draw."""

    svg: str
    keys: tuple[Key, ...]
    description: str
    note: str = ""


def draw(curves: Curves, prefix: str) -> Drawing:
    """Return the curves as one SVG drawing whose ids begin with `prefix`.

    At most 12 series of at most 600 points are drawn; what is not finite (or, on a logarithmic axis, not positive)
    leaves a gap. The same curves always give the same bytes.
    """
    series = [_drawable(thinned(one, MOST_POINTS), curves) for one in curves.series]
    series = [
        one for one in series if any(math.isfinite(x) and math.isfinite(y) for x, y in zip(one.x, one.y, strict=True))
    ]
    note = f"{len(series) - MOST_SERIES} more curves are in the record." if len(series) > MOST_SERIES else ""
    series = series[:MOST_SERIES]
    description = describe(curves)
    if not series:
        return Drawing("", (), description, "No finite value to draw.")
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The browser draws the text with its own fonts; matplotlib only measures it.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        source = _render(curves, series)
    return Drawing(page_svg(source, prefix, _CSS, description), _keys(curves, series), description, note)


def describe(curves: Curves) -> str:
    """Return what the curves show, in words: axes, and where each begins, ends, and is lowest and highest."""
    parts = [f"{one_line(curves.title)}. {one_line(curves.y_label)} against {one_line(curves.x_label)}."]
    for one in curves.series[:MOST_SERIES]:
        points = [(x, y) for x, y in zip(one.x, one.y, strict=False) if math.isfinite(y)]
        if not points:
            parts.append(f"{one_line(one.name)}: no finite value.")
            continue
        (first, start), (last, end) = points[0], points[-1]
        values = [y for _, y in points]
        parts.append(
            f"{one_line(one.name)}: {number(start)} at {number(first)}, {number(end)} at {number(last)}, "
            f"between {number(min(values))} and {number(max(values))}."
        )
    return " ".join(parts)


def _drawable(series: Series, curves: Curves) -> Series:
    def clean(values: tuple[float, ...], logarithmic: bool) -> tuple[float, ...]:
        return tuple(
            one if abs(one) < _HUGE and (one > 0 or not logarithmic) else math.nan  # also False for nan
            for one in values
        )

    return Series(
        name=series.name,
        x=clean(series.x, curves.log_x),
        y=clean(series.y, curves.log_y),
        low=clean(series.low, curves.log_y),
        high=clean(series.high, curves.log_y),
        style=series.style,
    )


def _render(curves: Curves, series: list[Series]) -> str:
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)
    axes = figure.add_subplot()
    for patch in (figure.patch, axes.patch):
        patch.set_visible(False)
    if curves.log_x:
        axes.set_xscale("log", nonpositive="mask")
    if curves.log_y:
        axes.set_yscale("log", nonpositive="mask")
    for place, one in enumerate(series):
        _plot(axes, one, place)
    _reference_lines(axes, curves)
    _furnish(axes, curves)
    _place(figure, axes)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue()


def _plot(axes: Axes, series: Series, place: int) -> None:
    colour, dashes = _SERIES[place % COLOURS], _dashes(series, place)
    x, y = np.asarray(series.x), np.asarray(series.y)
    if series.low:
        axes.fill_between(x, np.asarray(series.low), np.asarray(series.high), color=colour, alpha=0.18, linewidth=0)
    if series.style == "points":
        _dots(axes, x, y, colour)
        return
    (drawn,) = axes.plot(x, y, color=colour, linewidth=1.8, solid_joinstyle="round", dash_capstyle="round")
    if dashes:
        drawn.set_dashes(list(dashes))
    if len(x) <= 20:
        _dots(axes, x, y, colour)


def _dots(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """Draw dots as one path of zero-length strokes with round caps: a tenth of the size of one marker each."""
    points = np.column_stack([x, y])[np.isfinite(x) & np.isfinite(y)]
    if not len(points):
        return
    codes = np.tile([Path.MOVETO, Path.LINETO], len(points))
    path = Path(np.repeat(points, 2, axis=0), codes)
    axes.add_patch(PathPatch(path, fill=False, edgecolor=colour, linewidth=4.5, capstyle="round"))
    axes.update_datalim(points)
    axes.autoscale_view()


def _reference_lines(axes: Axes, curves: Curves) -> None:
    if curves.diagonal:
        low = max(axes.get_xlim()[0], axes.get_ylim()[0])
        high = min(axes.get_xlim()[1], axes.get_ylim()[1])
        if low < high:
            axes.plot([low, high], [low, high], color=_MUTED, linewidth=1.0, dashes=(3, 3), zorder=0.5)
    for name, height in curves.lines.items():
        if not abs(height) < _HUGE or (curves.log_y and height <= 0):
            continue
        axes.axhline(height, color=_MUTED, linewidth=1.0, dashes=(4, 3), zorder=0.5)
        text = shortened(one_line(name), 30)
        axes.annotate(
            text,
            (1.0, height),
            (-2, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            color=_MUTED,
            fontsize=9,
        )


def _furnish(axes: Axes, curves: Curves) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=_MUTED, labelsize=10, pad=5)
    axes.set_xlabel(shortened(one_line(curves.x_label), 60), color=_MUTED, labelpad=4)
    axes.set_ylabel(shortened(one_line(curves.y_label), 36), color=_MUTED, labelpad=6)
    for axis, logarithmic in ((axes.xaxis, curves.log_x), (axes.yaxis, curves.log_y)):
        axis.set_major_formatter(FuncFormatter(_tick))
        axis.set_minor_locator(NullLocator())
        if logarithmic:
            low, high = axis.get_view_interval()
            decades = math.log10(high / low) if low > 0 else 1.0
            axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if decades < 3 else (1.0,), numticks=9))
        else:
            axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))


def _place(figure: Figure, axes: Axes) -> None:
    """Leave the labels the room that they need in the browser's font, which matplotlib cannot measure."""

    def longest(ticks: np.ndarray, view: tuple[float, float]) -> float:
        low, high = sorted(view)
        return max((len(number(float(one))) for one in ticks if low <= one <= high), default=1)

    left = 24 + _CHARACTER * longest(axes.get_yticks(), axes.get_ylim())
    right = 6 + _CHARACTER * longest(axes.get_xticks(), axes.get_xlim()) / 2
    figure.subplots_adjust(
        left=min(0.4, left / WIDTH), right=1 - min(0.2, right / WIDTH), bottom=42 / HEIGHT, top=1 - 10 / HEIGHT
    )


def _tick(value: float, _position: int | None) -> str:
    return number(value)


def _dashes(series: Series, place: int) -> tuple[float, ...]:
    if series.style == "dashed":
        return _DASHES[1]
    # Colours repeat after six; dashes change so that no two series look the same, even without colour.
    return _DASHES[(place + place // COLOURS) % len(_DASHES)]


def _keys(curves: Curves, series: list[Series]) -> tuple[Key, ...]:
    keys = [
        Key(
            name=one.name,
            colour=f"var(--s{place % COLOURS + 1})",
            dashes=" ".join(f"{length * 1.8:g}" for length in _dashes(one, place)),
            mark="points" if one.style == "points" else "band" if one.low else "line",
        )
        for place, one in enumerate(series)
    ]
    if curves.diagonal:
        keys.append(Key(name=f"{curves.y_label} = {curves.x_label}", colour="var(--muted)", dashes="3 3", mark="line"))
    return tuple(keys)
