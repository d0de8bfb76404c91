"""The report as one HTML page that needs nothing but itself."""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from equipoise.core.estimate import Verdict
from equipoise.core.figure import Curves
from equipoise.core.plan import Plan, plan_text
from equipoise.core.report import Report
from equipoise.core.trial import Trial
from equipoise.report.budget import LADDER, MOST_BYTES, Limits, embedded_record
from equipoise.report.chapters import chapters, figure_view, finding_views, table_view
from equipoise.report.course_view import course_view
from equipoise.report.curves import Drawing, draw
from equipoise.report.estimate_view import estimate_view
from equipoise.report.history import history
from equipoise.report.marks import Whisker, whisker
from equipoise.report.numbers import number, plural, shown
from equipoise.report.printable import printable, tied
from equipoise.report.sentence import verdict_sentence

# Closed parts must be on paper too; where CSS cannot open them, these lines do.
_SCRIPT = (
    "addEventListener('beforeprint',()=>document.querySelectorAll('details:not([open])')"
    ".forEach(d=>{d.open=true;d.dataset.shut=1}));"
    "addEventListener('afterprint',()=>document.querySelectorAll('details[data-shut]')"
    ".forEach(d=>{d.open=false;delete d.dataset.shut}));"
)


@dataclass(frozen=True, slots=True)
class TrialView:
    """A paired trial with the picture of its effect, drawn on one axis with the others of its metric."""

    trial: Trial
    effect: str
    p_value: str
    whisker: Whisker | None
    guards: tuple[tuple[str, str], ...]


def render(report: Report) -> str:
    """Return the report as one HTML page of at most 1 MB that loads nothing.

    When the page would be larger, galleries and tables show less, then the embedded record is cut as well, and the
    page says so. The same report always gives the same page.

    Args:
        report: The report.

    Returns:
        A whole HTML document. It embeds the record as JSON in `<script type="application/json" id="record">`.
    """
    page = ""
    template = _environment().get_template("page.html.j2")
    drawings, training = _draw_all(report)
    for limits in LADDER:
        record = _embeddable(embedded_record(report, limits))
        if len(record) > MOST_BYTES and limits is not LADDER[-1]:
            continue
        page = template.render(_values(report, limits, record, drawings, training))
        if len(page.encode()) <= MOST_BYTES:
            break
    return page


def _values(
    report: Report,
    limits: Limits,
    record: str,
    drawings: dict[tuple[int, int], Drawing],
    training: tuple[tuple[Curves, Drawing], ...],
) -> dict[str, Any]:
    """Return what the template names."""
    views = finding_views(report, limits, drawings)
    columns = tuple(dict.fromkeys(column for layer in report.layers for column in layer))
    layers = table_view(columns, ([row.get(column, "") for column in columns] for row in report.layers), limits.rows)
    return {
        "number": number,
        "plural": plural,
        "tied": tied,
        "report": report,
        "sentence": verdict_sentence(report),
        "counts": [(verdict, count) for verdict, count in report.counts().items() if count],
        "views": views,
        "worst": views[0]
        if views and views[0].finding.verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.WARN)
        else None,
        "chapters": chapters(views, report),
        "training": [figure_view(curves, limits, drawing) for curves, drawing in training],
        "layers": layers,
        "trials": _trials(report.trials),
        "course": course_view(report.course),
        "plan": _plan(report.plan),
        "created": _when(report.created),
        "note": limits.note(),
        "record": Markup(record),
        "script": Markup(_SCRIPT),
        "policy": _policy(),
        "total": plural(len(report.findings), "question"),
    }


def _draw_all(report: Report) -> tuple[dict[tuple[int, int], Drawing], tuple[tuple[Curves, Drawing], ...]]:
    drawings = {
        (place, position): draw(figure, f"figure-{place}-{position}-")
        for place, finding in enumerate(report.findings)
        for position, figure in enumerate(finding.figures)
        if isinstance(figure, Curves)
    }
    training = tuple(
        (curves, draw(curves, f"figure-v-{place}-")) for place, curves in enumerate(history(report.vitals))
    )
    return drawings, training


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("equipoise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )


def _finalize(value: object) -> object:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _embeddable(report: Report) -> str:
    """Return the record as JSON in which no `<` can end the script element or begin a comment."""
    text = json.dumps(report.plain(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _policy() -> str:
    """Return the content security policy: nothing is loaded, and no script runs but the one that opens details."""
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _plan(plan: dict[str, Any]) -> str:
    """Return a plan as the TOML that runs it, or as indented JSON when this version does not know it."""
    if not plan:
        return ""
    try:
        return plan_text(Plan.read(plan))
    except ValueError:
        return json.dumps(plan, indent=2, ensure_ascii=False)


def _when(created: str) -> str:
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return created
    zone = f" {moment.tzname()}" if moment.tzinfo else ""
    return f"{moment.day} {moment:%B %Y, %H:%M}{zone}"


def _trials(trials: Iterable[Trial]) -> tuple[TrialView, ...]:
    listed = tuple(trials)
    return tuple(
        TrialView(
            trial=trial,
            effect=str(shown(trial.effect)),
            p_value=number(trial.p_value),
            whisker=whisker(trial.effect, None, beside=[one.effect for one in listed if one.metric == trial.metric]),
            guards=tuple((view.name, str(view.shown)) for view in _guards(trial)),
        )
        for trial in listed
    )


def _guards(trial: Trial) -> list[Any]:
    return [estimate_view(name, one, None) for name, one in trial.guards.items()]
