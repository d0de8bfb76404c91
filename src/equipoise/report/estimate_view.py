"""Estimates as the page lists them: those that a verdict rests on first, each with its line and its picture."""

from dataclasses import dataclass

from equipoise.core.estimate import Estimate, Line, Verdict, judge
from equipoise.core.finding import Finding
from equipoise.report.marks import Whisker, whisker
from equipoise.report.numbers import Shown, line_text, name_text, shown


@dataclass(frozen=True, slots=True)
class EstimateView:
    """One estimate, ready for the page; `line` is empty and `verdict` is `None` when it is not judged."""

    name: str
    shown: Shown
    n: str
    method: str
    line: str
    verdict: Verdict | None
    whisker: Whisker | None


def estimate_views(finding: Finding) -> tuple[EstimateView, ...]:
    """Return the estimates of a finding: judged ones first, worst verdict first, the others in their order."""
    views = [estimate_view(name, one, finding.lines.get(name)) for name, one in finding.estimates.items()]
    return tuple(sorted(views, key=lambda view: -1 if view.verdict is None else -10 - view.verdict.severity))


def estimate_view(name: str, estimate: Estimate, line: Line | None) -> EstimateView:
    """Return one estimate as text and picture."""
    level = "" if estimate.low == estimate.high or estimate.level == 1 else f"{100 * estimate.level:g} %"
    return EstimateView(
        name=name_text(name),
        shown=shown(estimate),
        n=f"{estimate.n:,}",
        method=" ".join(one for one in (estimate.method, level) if one),
        line=line_text(line, estimate) if line else "",
        verdict=judge(estimate, line) if line else None,
        whisker=whisker(estimate, line) if line else None,
    )
