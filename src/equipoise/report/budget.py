"""How much a page shows, and what gives way when it would grow beyond one megabyte."""

from dataclasses import dataclass

from equipoise.core.figure import Bars, Curves, Figure, Gallery, Matrix, Table
from equipoise.core.finding import Finding
from equipoise.core.report import Report
from equipoise.core.vital import Vital
from equipoise.report.thinning import thinned

MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one rendering of the page shows at most.

    Attributes:
        tiles: Samples in a gallery.
        rows: Rows of a table, of bars and of estimates.
        drawings: Whether curves and pictures of matrices are drawn.
        embedded: Whether the record in the page is whole; else its galleries, tables and curves are cut as well.
        points: Points of a curve in a record that is not whole.
    """

    tiles: int
    rows: int
    drawings: bool = True
    embedded: bool = True
    points: int = 2_000

    def note(self) -> str:
        """Return what the reader must know about what was left out, or nothing for the most generous limits."""
        if self is LADDER[0]:
            return ""
        text = (
            f"To stay under 1 MB this page shows at most {self.tiles} samples a gallery and {self.rows} rows a table"
            f"{'' if self.drawings else ', and no curves'}. "
        )
        if self.embedded:
            return text + "The record embedded in it holds all of them."
        return text + "The record embedded in it is cut as well; report.json beside this page is whole."


LADDER = (
    Limits(tiles=24, rows=400),
    Limits(tiles=12, rows=120),
    Limits(tiles=6, rows=40),
    Limits(tiles=6, rows=40, embedded=False, points=300),
    Limits(tiles=2, rows=20, embedded=False, points=100),
    Limits(tiles=0, rows=10, drawings=False, embedded=False, points=0),
)
"""From the most generous to the leanest; the first whose page is small enough is taken."""


def embedded_record(report: Report, limits: Limits) -> Report:
    """Return the record that the page embeds: the report itself, or a cut one that is still a valid record."""
    if limits.embedded:
        return report
    return report.model_copy(
        update={
            "findings": tuple(_finding(one, limits) for one in report.findings),
            "vitals": tuple(_vital(one, limits.points) for one in report.vitals if limits.points),
            "layers": report.layers[: limits.rows],
        }
    )


def _finding(finding: Finding, limits: Limits) -> Finding:
    figures = tuple(_figure(one, limits) for one in finding.figures) if limits.points else ()
    kept = finding.estimates
    if len(kept) > limits.rows:
        judged = [name for name in kept if name in finding.lines]
        names = (judged + [name for name in kept if name not in finding.lines])[: max(limits.rows, len(judged))]
        kept = {name: kept[name] for name in names}
    return finding.model_copy(
        update={
            "worst_samples": finding.worst_samples[: limits.tiles],
            "figures": figures,
            "estimates": kept,
            "where": finding.where[: limits.rows],
        }
    )


def _figure(figure: Figure, limits: Limits) -> Figure:
    match figure:
        case Curves():
            return figure.model_copy(update={"series": tuple(thinned(one, limits.points) for one in figure.series)})
        case Gallery():
            return figure.model_copy(update={"tiles": figure.tiles[: limits.tiles]})
        case Table():
            return figure.model_copy(update={"rows": figure.rows[: limits.rows]})
        case Bars():
            return figure.model_copy(
                update={name: getattr(figure, name)[: limits.rows] for name in ("labels", "values", "low", "high")}
            )
        case Matrix():
            side = 4 * limits.rows
            return figure.model_copy(
                update={
                    "rows": figure.rows[:side],
                    "columns": figure.columns[:side],
                    "values": tuple(row[:side] for row in figure.values[:side]),
                }
            )


def _vital(vital: Vital, points: int) -> Vital:
    """Return at most `points` buckets, each the union of neighbours: last step, middle value, least and greatest."""
    count = len(vital.steps)
    if count <= points:
        return vital
    groups = [range(place * count // points, (place + 1) * count // points) for place in range(points)]
    return vital.model_copy(
        update={
            "steps": tuple(vital.steps[group[-1]] for group in groups),
            "values": tuple(sorted(vital.values[one] for one in group)[len(group) // 2] for group in groups),
            "low": tuple(min(vital.low[one] for one in group) for group in groups),
            "high": tuple(max(vital.high[one] for one in group) for group in groups),
        }
    )
