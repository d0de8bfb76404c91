"""Try what is worth trying on a plan, keep what a trial proves, and say how much better the plan has become.

What the findings ask for is tried in the order of its promise, each against the plan as it stands, on the same seeds
and at equal counted cost. What passes is adopted and becomes the plan that the next ones are tried on, with seeds of
their own, since those on which it won flatter it. How sure a trial must be follows from the number of trials and
discoveries before it (LOND; Javanmard and Montanari 2018). Trials are decided on validation parts; only at the end are
the test parts of fresh seeds read, once, to compare the plan before and after. Since test parts may not steer what is
tried, a network is examined before the first trial and after the last, and not in between.

How many seeds a trial has, and which difference does not matter, is fixed before the first treated training: from the
budget, and from what another seed does to the untreated score (`treat.size`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from equipoise.core.complaint import nearest
from equipoise.core.course import Course
from equipoise.core.diagnosis import Diagnosis
from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, silent
from equipoise.core.report import Report
from equipoise.core.treatment import Treatment
from equipoise.fit.fitted import Fit
from equipoise.treat.catalogue import treatments
from equipoise.treat.conclude import compared, examined, trained
from equipoise.treat.ledger import Ledger, open_ledger
from equipoise.treat.prescribe import SEVERITY
from equipoise.treat.size import FEWEST, examination_s
from equipoise.treat.trials import Ward, try_all
from equipoise.trial.rule import Rule


@dataclass(frozen=True, slots=True, eq=False)
class Treated:
    """A plan after its treatment.

    Attributes:
        course: What was tried, and what came of it.
        plan: The plan with everything that was adopted.
        fit: The network of that plan; None where nothing was adopted, or the course was cut off.
        report: What the questions say of that network; None likewise.
    """

    course: Course
    plan: Plan
    fit: Fit | None
    report: Report | None


def treat(
    plan: Plan,
    report: Report | None = None,
    *,
    diagnosis: Diagnosis | None = None,
    budget_s: float = 600.0,
    fix: str | None = None,
    seeds: int | None = None,
    rule: Rule | None = None,
    data: Any = None,
    trust: bool = False,
    folder: Path | None = None,
    resume: bool = False,
    plugins: Sequence[Treatment] = (),
    on_progress: Listener = silent,
) -> Treated:
    """Return a plan with every treatment that a paired trial has proven to help it; the module says how.

    Args:
        plan: What is treated.
        report: What was found on a network trained by it; without it, one is trained and examined.
        diagnosis: What is wrong with its training, where that was asked.
        budget_s: Seconds for trials, the last comparison included. A trial that does not fit into what is left is not
            begun, and is listed.
        fix: Id of a question, or a fault of the diagnosis: only what answers that is tried.
        seeds: Seeds of a trial at its last look, at least 6; without it, as many as the budget has room for.
        rule: When a trial decides, and what; only the level is set anew for each.
        data: For a plan that was made from data in Python: the same data again.
        trust: Whether a foreign network's file may be unpickled.
        folder: Where the course is written after each trial, and trainings until they have served.
        resume: Whether to go on with the course in the folder, if there is one.
        plugins: Treatments beyond the installed ones.
        on_progress: Told how far it is.

    Returns:
        The course, the plan, and its network with a report. After Ctrl-C: what was done so far, with
        `course.finished` false.

    Raises:
        ValueError: A plan that cannot be trained, a question to fix that found nothing wrong, a folder that holds
            another course; all before the first trial.
    """
    if seeds is not None and seeds < FEWEST:
        raise ValueError(
            f"got seeds={seeds}; expected at least {FEWEST}, since fewer pairs can prove nothing. Ask for more."
        )
    ledger = open_ledger(plan, budget_s, folder, resume=resume)
    ward = Ward(report, diagnosis, treatments(plugins), fix, rule, seeds, data, trust, on_progress)
    try:
        return _treated(plan, ledger, ward, folder)
    except KeyboardInterrupt:
        ledger.note()
        return Treated(ledger.course, ledger.plan, None, None)


def _treated(plan: Plan, ledger: Ledger, ward: Ward, folder: Path | None) -> Treated:
    if ward.report is None:
        ward = replace(ward, report=_first_report(plan, ledger.course.budget_s, ward))
    _check_fix(ward)
    try_all(ledger, ward)
    done, report = _concluded(ledger, ward, folder)
    ledger.note(finished=True)
    ledger.forget(".")
    return Treated(ledger.course, ledger.plan, done, report)


def _first_report(plan: Plan, budget_s: float, ward: Ward) -> Report:
    done = trained(plan, None, data=ward.data, trust=ward.trust, on_progress=ward.on_progress)
    command = f"equipoise.treat(plan, budget_s={budget_s:g})"
    return examined(done, examination_s(budget_s), command, ward.on_progress)


def _check_fix(ward: Ward) -> None:
    wrong = [one.question for one in ward.findings if SEVERITY.get(one.verdict, 0.0)]
    wrong += [cause.fault for cause in ward.diagnosis.causes] if ward.diagnosis else []
    if ward.fix is not None and ward.fix not in wrong:
        raise ValueError(
            f"got fix={ward.fix!r}, of which nothing wrong was found; expected a question whose finding fails, warns "
            f"or is unsure{'' if wrong else ', and there is none'}. {nearest(ward.fix, wrong)}".rstrip()
        )


def _concluded(ledger: Ledger, ward: Ward, folder: Path | None) -> tuple[Fit | None, Report | None]:
    """Train and examine the network of the adopted plan, and compare it with the plan as it was."""
    course = ledger.course
    if course.after == course.before:
        return None, None
    heard = ward.on_progress
    done = trained(ledger.plan, folder, data=ward.data, trust=ward.trust, on_progress=heard)
    report = examined(done, examination_s(course.budget_s), "equipoise.treat(plan)", heard)
    if course.comparison is None:
        before = Plan.read(course.before, origin="course")
        used = course.seeds_used + course.looks[-1]  # those of the trials on the adopted plan are not fresh
        comparison = compared(
            before,
            ledger.plan,
            before.seed + 1 + used,
            sorted({one.question for one in course.prescriptions if one.treatment in course.adopted}),
            data=ward.data,
            trust=ward.trust,
            folder=ledger.trainings,
            on_progress=heard,
        )
        ledger.note(comparison=comparison, seeds_used=used + len(comparison.seeds))
    return done, report
