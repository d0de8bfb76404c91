"""The trials of a course, one after another, while the budget lasts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from equipoise.core.complaint import nearest
from equipoise.core.course import LeftOut
from equipoise.core.diagnosis import Diagnosis
from equipoise.core.finding import Finding
from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, Progress, silent
from equipoise.core.report import Report
from equipoise.core.signature import Task
from equipoise.core.treatment import Treatment
from equipoise.core.trial import Trial
from equipoise.stats.discovery import next_level
from equipoise.treat.aims import Aim, aim_of
from equipoise.treat.arm import PROBED, Arm, train_arm, within
from equipoise.treat.conclude import FRESH
from equipoise.treat.guards import SCORE, guard_margins, guards_for, score_of
from equipoise.treat.ledger import UNFINISHED, Ledger
from equipoise.treat.prescribe import CONTROL_AT, Chosen, Prescribed, prescribe
from equipoise.treat.size import affordable_looks, examination_s, margin_for
from equipoise.trial.cost import CLOSE, at_cost, epoch_cost
from equipoise.trial.paired import Measure, paired_trial
from equipoise.trial.rule import Rule

UNTREATED = "untreated"
"""Where the trainings of the untreated arm are kept; no treatment has this id."""


COLD_S = 5.0
"""The first trainings of a process take some seconds more; where shorter ones do not fit, they are measured again."""


@dataclass(frozen=True, slots=True, eq=False)
class Ward:
    """What stays as it is in a course.

    Attributes:
        report: What was found on a network of the plan.
        diagnosis: What is wrong with its training, where that was asked.
        treatments: What may be tried.
        fix: The only question that is to be answered, or None for all.
        rule: When a trial decides, and what, where the user says so.
        seeds: Seeds of a trial at its last look, where the user says so.
        data: For a plan that was made from data in Python: the same data again.
        trust: Whether a foreign network's file may be unpickled.
        on_progress: Told how far it is.
    """

    report: Report | None
    diagnosis: Diagnosis | None
    treatments: tuple[Treatment, ...]
    fix: str | None
    rule: Rule | None
    seeds: int | None
    data: Any = None
    trust: bool = False
    on_progress: Listener = silent

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found."""
        return () if self.report is None else self.report.findings


def try_all(ledger: Ledger, ward: Ward) -> None:
    """Try one treatment after another until none is left that fits the budget; the ledger has what came of them.

    Raises:
        KeyboardInterrupt: A training was interrupted; what it was is not counted.
        ValueError: The plan itself cannot be trained.
    """
    failed: dict[str, str] = {}
    arm = _first_arm(ledger, ward) if _prescribed(ledger, ward, failed).chosen else None
    while True:
        prescribed = _prescribed(ledger, ward, failed)
        chosen, late = _next(prescribed, arm, ledger, ward, failed)
        untried = {one.treatment: one.reason for one in prescribed.left_out} | late | failed
        ledger.note(left_out=tuple(LeftOut(treatment=name, reason=why) for name, why in untried.items()))
        if chosen is None or arm is None:
            return
        aim = aim_of(chosen.prescription.question, task_of(arm))
        rule, guards = _rule(arm, aim, ledger, ward)
        try:
            trial = paired_trial(
                arm.plan,
                chosen.treatment,
                tuple(arm.fits),
                rule=rule,
                guards=guards,
                measure=None if aim is None else (aim.name, aim.on_validation),
                untreated=arm.fits,
                data=ward.data,
                trust=ward.trust,
                folder=within(ledger.trainings, chosen.treatment.id),
                on_progress=_timed(ledger, ward),
            )
        except ValueError as problem:  # only its first training shows that a network cannot be built or trained so
            failed[chosen.treatment.id] = str(problem)
            ledger.forget(chosen.treatment.id)
            continue
        arm = _noted(chosen, trial, arm, ledger, ward)


def _first_arm(ledger: Ledger, ward: Ward) -> Arm | None:
    """Return the untreated arm, after its first trainings have shown how large a trial can be."""
    begun, looks = _arm(ledger, ward, PROBED), ledger.course.looks
    if not looks:
        looks = _looks(begun, ledger, ward)
        if not looks and begun.each_s < COLD_S:
            begun = _arm(ledger, ward, 2 * PROBED, begun)
            looks = _looks(begun, ledger, ward)
        ledger.note(looks=looks)
    return _arm(ledger, ward, looks[-1], begun) if looks else None


def _looks(begun: Arm, ledger: Ledger, ward: Ward) -> tuple[int, ...]:
    if ward.rule is not None:
        return ward.rule.looks
    fits = (ledger.left_s - _reserve(begun.each_s, ledger)) / begun.each_s + len(begun.fits)
    return affordable_looks(fits, ward.seeds)


def _arm(ledger: Ledger, ward: Ward, count: int, begun: Arm | None = None) -> Arm:
    """Return the untreated arm with so many seeds; `begun` holds the first of them."""
    first = _first_seed(ledger)
    arm = train_arm(
        ledger.plan,
        range(first, first + count),
        begun=begun,
        known_s=ledger.course.training_s,
        data=ward.data,
        trust=ward.trust,
        folder=within(ledger.trainings, UNTREATED),
        on_progress=_timed(ledger, ward),
    )
    ledger.note(training_s=arm.each_s)
    return arm


def _first_seed(ledger: Ledger) -> int:
    """Return the first seed that no trial on an earlier plan has used; the plan's own is left to its own network."""
    return Plan.read(ledger.course.before).seed + 1 + ledger.course.seeds_used


def _reserve(each_s: float, ledger: Ledger) -> float:
    """Return the seconds that the end of the course will take: last training, examination, comparison."""
    return (2 * FRESH + 1) * each_s + examination_s(ledger.course.budget_s)


def _adopted_s(chosen: Chosen, arm: Arm) -> float:
    """Return about how long a training of the plan takes once a treatment is adopted, which is at equal cost."""
    return arm.each_s * (chosen.plan.recipe.epochs / arm.plan.recipe.epochs if chosen.treatment.longer else 1.0)


def _prescribed(ledger: Ledger, ward: Ward, failed: Mapping[str, str]) -> Prescribed:
    done = {trial.treatment for trial in ledger.course.trials} | set(failed)
    controlled = any(one.control for one in ledger.course.prescriptions)
    return prescribe(
        ledger.plan,
        ward.findings,
        [one for one in ward.treatments if one.id not in done],
        diagnosis=ward.diagnosis,
        fix=ward.fix,
        control=None if controlled else max(0, CONTROL_AT - len(done)),
    )


def _next(
    prescribed: Prescribed, arm: Arm | None, ledger: Ledger, ward: Ward, failed: dict[str, str]
) -> tuple[Chosen | None, dict[str, str]]:
    """Return the first that fits what is left of the budget, and why those before it do not.

    Those whose network cannot be built are put into `failed`.
    """
    late: dict[str, str] = {}
    for one in prescribed.chosen:
        if arm is None:
            late[one.treatment.id] = "the budget has no room for its trial"
            continue
        try:
            seconds, left = _trial_s(one, arm, ward.trust), ledger.left_s - _reserve(_adopted_s(one, arm), ledger)
        except ValueError as problem:  # a surgery that this network cannot have
            failed[one.treatment.id] = str(problem)
            continue
        if seconds <= left:
            return one, late
        late[one.treatment.id] = (
            f"its trial takes about {seconds:.0f} s, and {max(0.0, left):.0f} s of the budget were left"
        )
    return None, late


def _trial_s(chosen: Chosen, arm: Arm, trust: bool) -> float:
    """Return about how long a trial takes, if it goes to its last look."""
    before, after = arm.plan, chosen.plan
    epochs = after.recipe.epochs / before.recipe.epochs
    if chosen.treatment.longer:
        return len(arm.fits) * arm.each_s * epochs
    splits = next(iter(arm.fits.values())).splits
    ratio = epochs * epoch_cost(after, splits, trust=trust) / epoch_cost(before, splits, trust=trust)
    # A dearer training is made twice: at equal cost, and in as many epochs as the treated plan says.
    return len(arm.fits) * arm.each_s * (1.0 if abs(ratio - 1) <= CLOSE else 1 + ratio)


def task_of(arm: Arm) -> Task:
    """Return what the networks of an arm predict."""
    return next(iter(arm.fits.values())).splits.signature.task


def _rule(arm: Arm, aim: Aim | None, ledger: Ledger, ward: Ward) -> tuple[Rule, Mapping[str, Measure]]:
    """Return the rule of the next trial and the guards that it has margins for: with an aim, the score too."""
    measures = guards_for(task_of(arm))
    level = next_level([trial.p_value <= trial.level for trial in ledger.course.trials])
    if ward.rule is None:
        looks, fits = ledger.course.looks, arm.fits.values()
        margins = guard_margins(measures, arm.fits)
        margin = margin_for([one.score for one in fits], looks[-1])
        if aim is not None:
            measures, margins = measures | {SCORE: score_of}, margins | {SCORE: margin}
            margin = margin_for([aim.on_validation(one) for one in fits], looks[-1])
        return Rule(level, margin, margins, looks), measures
    for name in ward.rule.guards:
        if name not in measures:
            raise ValueError(
                f"got a rule with the guard {name!r}; expected one that is measured here. Leave it out. "
                f"{nearest(name, list(measures))}"
            )
    return replace(ward.rule, level=level), {name: measures[name] for name in ward.rule.guards}


def _noted(chosen: Chosen, trial: Trial, arm: Arm, ledger: Ledger, ward: Ward) -> Arm | None:
    """Note a trial, and return the arm of the next one: None where the budget has no room for another."""
    course = ledger.course
    tried = {"prescriptions": (*course.prescriptions, chosen.prescription), "trials": (*course.trials, trial)}
    ward.on_progress(Progress("treat", len(course.trials) + 1, 0, said(trial), finished=True))
    if not trial.adopted:
        ledger.note(**tried)
        ledger.forget(trial.treatment)
        return arm
    after = proven(arm.plan, chosen, trial)
    ledger.forget(UNFINISHED)
    used = course.seeds_used + len(arm.fits)
    ledger.note(**tried, after=after.plain(), comparison=None, seeds_used=used, training_s=0.0)
    ledger.forget(trial.treatment, UNTREATED)
    each_s = _adopted_s(chosen, arm)
    if 2 * len(arm.fits) * each_s > ledger.left_s - _reserve(each_s, ledger):
        return None
    # As the first arm is trained, so that a course that is cut off here finds its trainings again.
    return _arm(ledger, ward, len(arm.fits), _arm(ledger, ward, PROBED))


def proven(plan: Plan, chosen: Chosen, trial: Trial) -> Plan:
    """Return the treated plan in as many epochs as the trial has shown it to be better in: those of equal cost."""
    if chosen.treatment.longer:
        return chosen.plan
    return at_cost(chosen.plan, trial.cost_ratio * chosen.plan.recipe.epochs / plan.recipe.epochs)


def said(trial: Trial) -> str:
    """Return what came of a trial, in one line."""
    ends = (trial.effect.value, trial.effect.low, trial.effect.high)
    value, low, high = (f"{round(one, 4) + 0.0:+.4g}" for one in ends)
    return f"{trial.treatment}: {trial.outcome}, {trial.metric} {value} [{low}, {high}] over {len(trial.seeds)} seeds"


def _timed(ledger: Ledger, ward: Ward) -> Listener:
    """Return a listener that passes on how far a trial is and how much of the budget is left, but not that it ended."""

    def hear(progress: Progress) -> None:
        if not progress.finished:
            note = f"{progress.note} · budget left: {max(0.0, ledger.left_s):.0f} s"
            ward.on_progress(Progress("treat", progress.done, progress.total, note))

    return hear
