"""What the choice questions share: from candidates to a finding."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Bars, Table
from equipoise.core.finding import Finding
from equipoise.core.signature import Task
from equipoise.examine.choice.contest import Candidate, Contest, Protocol, at_equal_cost, hold, possible
from equipoise.examine.conclude import conclude
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.retraining import SPARE, cost_of_trainings, own_fit
from equipoise.examine.subject import Subject
from equipoise.examine.wording import points, with_interval
from equipoise.fit.fitted import Fit
from equipoise.stats.metrics import score_name

LINES = {"advantage": Line(warn=0.01, fail=0.05)}

FEWEST_TESTED = 6
"""Fewer seeds cannot reject at 5 %."""

VERDICTS = (
    "pass: the rival that looked best is surely no better than the plan's own choice by more than 0.01 (1 point). "
    "unsure: it may be. warn: it is surely better by more than 0.01. fail: surely by more than 0.05."
)

HOW = (
    "Candidates with settings are tuned on one seed. All are then trained with three further seeds: the table shows "
    "every one with its validation score and its difference from the plan's own, in pairs of one seed. The best rival "
    "meets the plan's own choice once more on six to eight seeds that have chosen nothing, so that a single test is "
    "made: `advantage` is the mean difference of validation scores with the interval of the exact sign-flip test. "
    "Each seed divides training and validation part anew where rows may be mixed; the test part is not read. Trainings "
    "cost the same number of operations, except that a cheap candidate gets at most four times the epochs."
)


DEFAULT = Protocol()


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """Ask whether another choice would do better.

    Attributes:
        card: What a reader should know about it.
        candidates: Returns the choices for a fit; raises `InapplicableError` where its plan makes no such choice.
        own: Returns the plan's own choice in words.
        equal_cost: Whether candidates differ in the cost of an epoch.
        protocol: How many seeds each stage has.
    """

    card: Card
    candidates: Callable[[Fit], tuple[Candidate, ...]]
    own: Callable[[Fit], str]
    equal_cost: bool = False
    protocol: Protocol = DEFAULT

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores, with the fewest seeds."""
        try:
            candidates = self.candidates(own_fit(subject))
        except InapplicableError:
            return 0.0
        return cost_of_trainings(subject, replace(self.protocol, tested=FEWEST_TESTED).trainings(candidates))

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was trained elsewhere, the plan makes no such choice, or there is no other.
        """
        fit, task = own_fit(subject), subject.task
        if task.kind in ("clustering", "generation"):
            raise InapplicableError(f"a task of kind {task.kind} has no validation score that compares choices")
        candidates, left_out = possible(self.candidates(fit), fit.splits)
        if not candidates:
            raise InapplicableError("no other choice can be trained on these data")
        if self.equal_cost:
            candidates = at_equal_cost(candidates, fit)
        contest = hold(candidates, fit, self._affordable(fit, candidates, context), context)
        name = contest.rival.name
        return conclude(
            self.card,
            _claim(task, self.own(fit), contest),
            {"advantage": contest.advantage, "own_score": contest.own, "rival_score": contest.rival.score},
            context.lines,
            where=(f"{name} ({contest.rival.setting})" if contest.rival.setting else name,),
            treatments=_winner_first(name, self.card.may_help),
            figures=(_bars(task, self.own(fit), contest), _table(task, self.own(fit), contest, left_out)),
            assumptions=(
                contest.how,
                "The validation score is that of the epoch it chose, which flatters every candidate alike.",
            ),
            counted="seeds",
        )

    def _affordable(self, fit: Fit, candidates: tuple[Candidate, ...], context: Context) -> Protocol:
        least = replace(self.protocol, tested=min(self.protocol.tested, FEWEST_TESTED))
        left = SPARE * context.budget_s / max(fit.seconds, 1e-3) - least.trainings(candidates)
        return replace(least, tested=int(min(self.protocol.tested, least.tested + max(0.0, left / 2))))


def _winner_first(name: str, treatments: tuple[str, ...]) -> tuple[str, ...]:
    """Return treatments with the one that makes the winning choice first, where there is one."""
    return tuple(sorted(treatments, key=lambda one: one != name.lower()))


def _claim(task: Task, own: str, contest: Contest) -> str:
    rival = contest.rival
    setting = f" ({rival.setting})" if rival.setting else ""
    return (
        f"Of {len(contest.entries)} rivals of {own}, {rival.name}{setting} has the best validation {score_name(task)}; "
        f"over {contest.advantage.n} fresh seeds it differs from the plan's own by {points(task, contest.advantage)} "
        f"(exact p = {contest.p_value:.2g})."
    )


def _bars(task: Task, own: str, contest: Contest) -> Bars:
    rows: dict[str, Estimate] = {f"{own} (the plan)": contest.own}
    rows |= {one.name: one.score for one in contest.entries}
    order = sorted(rows, key=lambda name: -rows[name].value)
    return Bars(
        title=f"Validation {score_name(task)} of every candidate, mean over seeds",
        value_label=score_name(task),
        labels=tuple(order),
        values=tuple(rows[name].value for name in order),
        low=tuple(rows[name].low for name in order),
        high=tuple(min(rows[name].high, max(1.0, rows[name].value)) for name in order),
    )


def _table(task: Task, own: str, contest: Contest, left_out: dict[str, str]) -> Table:
    rows = [(f"{own} (the plan)", "as it is", with_interval(task, contest.own), "")]
    rows += [
        (one.name, one.setting, with_interval(task, one.score), points(task, one.apart)) for one in contest.entries
    ]
    rows += [(name, "not tried", "", reason) for name, reason in left_out.items()]
    return Table(
        title=f"All candidates, over {contest.own.n} seeds (Student's t)",
        columns=("candidate", "setting", f"validation {score_name(task)}", "difference from the plan's own"),
        rows=tuple(rows),
    )
