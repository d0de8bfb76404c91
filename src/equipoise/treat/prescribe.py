"""From what was found to what is worth trying, most promising first."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from equipoise.core.course import LeftOut, Prescription
from equipoise.core.diagnosis import Diagnosis
from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.plan import Plan
from equipoise.core.treatment import Treatment
from equipoise.treat.change import Change
from equipoise.treat.general import GENERAL

SEVERITY = {Verdict.FAIL: 1.0, Verdict.WARN: 0.7, Verdict.UNSURE: 0.35}
"""Weight of a finding; the others ask for no treatment."""

NAMED, ANSWERS, WITHOUT = 0.4, 0.3, 0.1
"""How often a treatment helps, before there is experience: one that the finding names, one that says itself that it
treats such a finding, and one that is tried without a finding."""

FADES = 0.97
"""Factor on that for each place further down in a list of treatments."""

PATIENCE = 4
"""Trials after which experience weighs as much as what was thought before."""

CONTROL_AT = 3
"""Place of the treatment that is drawn at random, so that it is tried within most budgets."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A prescription that can be carried out.

    Attributes:
        treatment: The treatment.
        plan: The plan with it.
        prescription: Why it is tried.
    """

    treatment: Treatment
    plan: Plan
    prescription: Prescription


@dataclass(frozen=True, slots=True)
class Prescribed:
    """Everything that is worth trying on a plan.

    Attributes:
        chosen: In the order of trials.
        left_out: What would have been, and why it is not.
    """

    chosen: tuple[Chosen, ...]
    left_out: tuple[LeftOut, ...]


def prescribe(
    plan: Plan,
    findings: Sequence[Finding],
    treatments: Sequence[Treatment],
    *,
    diagnosis: Diagnosis | None = None,
    fix: str | None = None,
    control: int | None = CONTROL_AT,
    experience: Mapping[str, tuple[int, int]] | None = None,
) -> Prescribed:
    """Return what is worth trying on a plan, most promising first, and the cheaper of two that promise the same.

    Candidates are the treatments that answer findings which fail, warn or are unsure, those that cure causes of a
    diagnosis, and general ones. One more is drawn at random among the others, as a control. Those that cannot be done
    to the plan, or lead to the same plan as a better one, are left out with the reason.

    Args:
        plan: The plan.
        findings: What was found on a network trained by it.
        treatments: What may be prescribed.
        diagnosis: What is wrong with its training, where that was asked.
        fix: Id of a question or fault: only what answers it, and no control.
        control: At which place the one that the plan's seed draws is tried; None for none.
        experience: By treatment: how often a trial adopted it, and how many trials there were; without it, what comes
            with the package.
    """
    known = packaged_experience() if experience is None else experience
    candidates: dict[str, Prescription] = {}
    for one in (*_for_findings(findings, treatments), *_for_causes(diagnosis, treatments), *_general(treatments)):
        answers = fix is None or one.question == fix
        weighed = one.replace(promise=one.promise * _experienced(known.get(one.treatment)))
        best = candidates.get(one.treatment)
        if answers and (best is None or weighed.promise > best.promise):
            candidates[one.treatment] = weighed
    by_id = {one.id: one for one in treatments}
    applied = [_applied(plan, by_id[name], one) for name, one in candidates.items()]
    made = [one for one in applied if isinstance(one, Chosen)]
    made.sort(key=lambda one: (-round(one.prescription.promise, 3), _cost(plan, one), _usual(one.treatment.id)))
    chosen, same = _distinct(made)
    others = [one for one in treatments if one.id not in candidates] if control is not None and fix is None else []
    if control is not None and (drawn := _drawn(plan, others, chosen)) is not None:
        chosen.insert(min(control, len(chosen)), drawn)
    return Prescribed(tuple(chosen), (*(one for one in applied if isinstance(one, LeftOut)), *same))


def packaged_experience() -> Mapping[str, tuple[int, int]]:
    """Return how often trials adopted each treatment, and how many there were, from the record that is shipped."""
    file = files("equipoise.treat") / "experience.json"
    if not file.is_file():
        return {}
    counted = json.loads(file.read_text(encoding="utf-8"))
    return {str(name): (int(adopted), int(trials)) for name, (adopted, trials) in counted.items()}


def _experienced(counted: tuple[int, int] | None) -> float:
    """Return the factor by which experience changes what a treatment promises: shrunken rate over the usual one."""
    if counted is None:
        return 1.0
    adopted, trials = counted
    return (PATIENCE * ANSWERS + adopted) / (PATIENCE + trials) / ANSWERS


def _for_findings(findings: Sequence[Finding], treatments: Sequence[Treatment]) -> list[Prescription]:
    found = []
    for finding in findings:
        severity = SEVERITY.get(finding.verdict, 0.0)
        why = f"{finding.question}: {finding.verdict.value}. {finding.claim}"
        for one in treatments:
            if one.id in finding.treatments:
                prior = NAMED * FADES ** finding.treatments.index(one.id)
            elif finding.question in one.treats:
                prior = ANSWERS
            else:
                continue
            if severity:
                found.append(_prescription(one, finding.question, why, severity * prior))
    return found


def _for_causes(diagnosis: Diagnosis | None, treatments: Sequence[Treatment]) -> list[Prescription]:
    causes = () if diagnosis is None else diagnosis.causes
    return [
        _prescription(
            one,
            cause.fault,
            f"The diagnosis found {cause.fault} at {cause.where} ({cause.confidence:.0%} sure). {cause.treatment}",
            cause.confidence * NAMED,
        )
        for cause in causes
        for one in treatments
        if cause.fault in one.treats
    ]


def _general(treatments: Sequence[Treatment]) -> list[Prescription]:
    by_id = {one.id: one for one in treatments}
    return [
        _prescription(by_id[name], "", "No finding asks for it; it often helps.", WITHOUT)
        for name in GENERAL
        if name in by_id
    ]


def _prescription(treatment: Treatment, question: str, why: str, promise: float) -> Prescription:
    return Prescription(
        treatment=treatment.id, title=_title(treatment), question=question, why=why, promise=min(1.0, promise)
    )


def _title(treatment: Treatment) -> str:
    return treatment.title if isinstance(treatment, Change) else treatment.id.replace("-", " ")


def _applied(plan: Plan, treatment: Treatment, prescription: Prescription) -> Chosen | LeftOut:
    try:
        return Chosen(treatment, treatment.apply(plan), prescription)
    except Exception as problem:  # a treatment may be a stranger's, and one that breaks must not stop the others
        said = str(problem) if isinstance(problem, ValueError) else f"{type(problem).__name__}: {problem}"
        return LeftOut(treatment=treatment.id, reason=said)


def _distinct(made: Sequence[Chosen]) -> tuple[list[Chosen], list[LeftOut]]:
    kept: list[Chosen] = []
    same: list[LeftOut] = []
    for one in made:
        twin = next((other for other in kept if other.plan == one.plan), None)
        if twin is None:
            kept.append(one)
        else:
            reason = f"leads to the same plan as {twin.treatment.id}"
            same.append(LeftOut(treatment=one.treatment.id, reason=reason))
    return kept, same


def _drawn(plan: Plan, treatments: Sequence[Treatment], chosen: Sequence[Chosen]) -> Chosen | None:
    """Return a treatment drawn at random among those that can be done and are not prescribed."""
    order = sorted(treatments, key=lambda one: one.id)
    random.Random(plan.seed).shuffle(order)
    for treatment in order:
        why = "Drawn at random, as what the prescribed ones are compared with."
        one = _applied(plan, treatment, _prescription(treatment, "", why, 0.0).replace(control=True))
        if isinstance(one, Chosen) and all(one.plan != other.plan for other in chosen):
            return one
    return None


def _usual(name: str) -> tuple[int, str]:
    """Return what orders treatments of one promise and one cost: those that often help first."""
    return (GENERAL.index(name) if name in GENERAL else len(GENERAL), name)


def _cost(plan: Plan, one: Chosen) -> float:
    """Return about how many trainings one treated training costs: more for a longer one, another network or data."""
    epochs = one.plan.recipe.epochs / plan.recipe.epochs
    return epochs * one.plan.members / plan.members + (one.plan.network != plan.network) + (one.plan.data != plan.data)
