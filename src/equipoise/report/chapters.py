"""The report as the page needs it: findings with their anchors, figures and samples, grouped by theme."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from equipoise.core.figure import Bars, Curves, Figure, Gallery, Matrix, Table
from equipoise.core.finding import Finding
from equipoise.core.report import Report
from equipoise.report import marks
from equipoise.report.budget import Limits
from equipoise.report.curves import Drawing
from equipoise.report.estimate_view import EstimateView, estimate_views
from equipoise.report.links import Piece, pieces
from equipoise.report.matrix import MatrixView, matrix_view
from equipoise.report.numbers import plural
from equipoise.report.tile_view import TileView, tile_view

_SHOWN_ESTIMATES = 8
_SHOWN_PLACES = 12
_SHORT_CELL = 28
_TALL = 14
_NUMERIC = re.compile(r"^[-+−]?[\d.,\s×⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+(\s?(%|pt|ms|s|µs|kB|MB|GB|bytes))?$|^(n/a|—|–|-|∞|)$")


@dataclass(frozen=True, slots=True)
class TableView:
    """A table: its heads, the style of each column (`num`, `short` or none), its rows, and how many were left out."""

    columns: tuple[str, ...]
    styles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int


@dataclass(frozen=True, slots=True)
class FigureView:
    """One figure, ready for the page: `kind` says which of its parts is filled."""

    kind: str
    title: str
    subtitle: str = ""
    drawing: Drawing | None = None
    bars: tuple[marks.Bar, ...] = ()
    matrix: MatrixView | None = None
    columns: tuple[str, ...] = ()
    column_label: str = ""
    row_label: str = ""
    table: TableView | None = None
    tiles: tuple[TileView, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class FindingView:
    """One finding, ready for the page."""

    finding: Finding
    anchor: str
    headline: EstimateView | None
    estimates: tuple[EstimateView, ...]
    more_estimates: tuple[EstimateView, ...]
    estimates_left_out: int
    where: tuple[str, ...]
    where_left_out: int
    figures: tuple[FigureView, ...]
    samples: FigureView | None
    explanation: tuple[tuple[str, str], ...]
    references: tuple[tuple[Piece, ...], ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """The findings of one theme, worst first."""

    theme: str
    anchor: str
    findings: tuple[FindingView, ...]


def finding_views(
    report: Report, limits: Limits, drawings: Mapping[tuple[int, int], Drawing]
) -> tuple[FindingView, ...]:
    """Return the findings worst first, each with an anchor of its own.

    Args:
        report: The report.
        limits: How much to show.
        drawings: The drawn curves, by position of the finding in `report.findings` and of the figure in it.
    """
    anchors = _anchors(report)
    views = [_finding(report, place, anchors[place], limits, drawings) for place in range(len(report.findings))]
    return tuple(sorted(views, key=lambda view: -view.finding.verdict.severity))


def chapters(views: Iterable[FindingView], report: Report) -> tuple[Chapter, ...]:
    """Return the findings grouped by theme, themes in the order in which they were first asked."""
    listed = tuple(views)
    themes = dict.fromkeys(finding.theme for finding in report.findings)
    return tuple(
        Chapter(theme, f"theme-{place}", tuple(view for view in listed if view.finding.theme == theme))
        for place, theme in enumerate(themes)
    )


def table_view(columns: Iterable[str], rows: Iterable[Iterable[str]], most: int) -> TableView:
    """Return a table of at most `most` rows, each filled up or cut to the number of columns."""
    heads = tuple(columns)
    filled = [(*tuple(row), *[""] * len(heads))[: len(heads)] for row in rows]
    kept = tuple(filled[:most])
    styles = tuple(_column_style([row[place].strip() for row in kept]) for place in range(len(heads)))
    return TableView(heads, styles, kept, len(filled) - len(kept))


def _column_style(cells: list[str]) -> str:
    if any(cells) and all(_NUMERIC.match(one) for one in cells):
        return "num"
    return "short" if all(len(one) <= _SHORT_CELL for one in cells) else ""


def figure_view(figure: Figure, limits: Limits, drawing: Drawing | None = None) -> FigureView:
    """Return one figure within the limits; what it leaves out is in its note."""
    match figure:
        case Curves():
            return _curves(figure, limits, drawing)
        case Bars():
            drawn = marks.bars(figure)
            note = _left_out(len(drawn) - limits.rows, "bar")
            return FigureView("bars", figure.title, figure.value_label, bars=drawn[: limits.rows], note=note)
        case Matrix():
            return _matrix(figure, limits)
        case Table():
            table = table_view(figure.columns, figure.rows, limits.rows)
            rows = plural(len(table.rows), "row") if len(table.rows) > _TALL else ""
            return FigureView("table", figure.title, rows, table=table, note=_left_out(table.left_out, "row"))
        case Gallery():
            return gallery_view(figure, limits)


def gallery_view(gallery: Gallery, limits: Limits) -> FigureView:
    """Return as many samples as the limits allow."""
    tiles = tuple(tile_view(one) for one in gallery.tiles[: limits.tiles])
    return FigureView(
        "gallery", gallery.title, tiles=tiles, note=_left_out(len(gallery.tiles) - limits.tiles, "sample")
    )


def _curves(figure: Curves, limits: Limits, drawing: Drawing | None) -> FigureView:
    if not limits.drawings or drawing is None:
        return FigureView("curves", figure.title, note="Not drawn, to keep the page small.")
    return FigureView("curves", figure.title, drawing=drawing, note=drawing.note)


def _matrix(figure: Matrix, limits: Limits) -> FigureView:
    view = matrix_view(figure)
    note = view.note
    if view.picture and not limits.drawings:
        view, note = matrix_view(figure.replace(rows=(), columns=(), values=())), "Not drawn, to keep the page small."
    return FigureView(
        "matrix",
        figure.title,
        matrix=view,
        columns=figure.columns,
        column_label=figure.column_label,
        row_label=figure.row_label,
        note=note,
    )


def _finding(
    report: Report, place: int, anchor: str, limits: Limits, drawings: Mapping[tuple[int, int], Drawing]
) -> FindingView:
    finding = report.findings[place]
    estimates = estimate_views(finding)
    judged = sum(view.verdict is not None for view in estimates)
    first = max(_SHOWN_ESTIMATES, judged) if len(estimates) > _SHOWN_ESTIMATES + 2 else len(estimates)
    figures = tuple(
        figure_view(one, limits, drawings.get((place, position))) for position, one in enumerate(finding.figures)
    )
    samples = Gallery(title="Samples that show it best", tiles=finding.worst_samples)
    return FindingView(
        finding=finding,
        anchor=anchor,
        headline=estimates[0] if estimates else None,
        estimates=estimates[:first],
        more_estimates=estimates[first : max(first, limits.rows)],
        estimates_left_out=max(0, len(estimates) - max(first, limits.rows)),
        where=finding.where[:_SHOWN_PLACES],
        where_left_out=max(0, len(finding.where) - _SHOWN_PLACES),
        figures=figures,
        samples=gallery_view(samples, limits) if finding.worst_samples else None,
        explanation=paragraphs(report.explanations.get(finding.question, "")),
        references=tuple(pieces(one) for one in report.references.get(finding.question, ())),
    )


def paragraphs(text: str) -> tuple[tuple[str, str], ...]:
    """Return the paragraphs of a text, each with its lead: the words before a colon that begin it, or nothing."""
    found = []
    for paragraph in re.split(r"\n\s*\n|\n(?=[A-Z][\w ]{2,40}: )", text.strip()):
        lead, colon, rest = paragraph.partition(": ")
        is_lead = bool(colon) and len(lead) <= 40 and lead[:1].isupper() and "." not in lead
        body = rest.strip() if is_lead else paragraph.strip()
        found.append((lead if is_lead else "", body[:1].upper() + body[1:]))
    return tuple(one for one in found if one[1])


def _anchors(report: Report) -> tuple[str, ...]:
    """Return one id a finding: its question's, made unique where questions repeat or are not plain names."""
    taken = {"", "record", "top"}
    anchors = []
    for finding in report.findings:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", finding.question).strip("-")
        plain = plain if plain and not plain.startswith(("theme-", "part-", "figure-")) else f"question-{plain}"
        candidate, number = plain, 1
        while candidate in taken:
            number += 1
            candidate = f"{plain}-{number}"
        taken.add(candidate)
        anchors.append(candidate)
    return tuple(anchors)


def _left_out(count: int, word: str) -> str:
    return f"{plural(count, f'more {word}')} in the record." if count > 0 else ""
