"""Questions asked on the machines of an executor."""

from collections.abc import Sequence
from typing import Any

from equipoise.core.finding import Finding
from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, Progress
from equipoise.examine.ask import ask
from equipoise.examine.catalogue import questions
from equipoise.examine.claims import Claims
from equipoise.examine.question import Question
from equipoise.examine.retraining import ON_REQUEST_S
from equipoise.examine.subject import Subject
from equipoise.fit.cohorts.parcel import can_travel, pack_fit, pack_splits, unpack_fit, unpack_splits
from equipoise.fit.execution import executing
from equipoise.fit.executors.executor import Executor, Needs, executor_in_force

MEASURES_THIS_MACHINE = "efficiency"
"""The theme whose questions are asked where the user is."""


def ask_elsewhere(
    asked: Sequence[Question],
    subject: Subject,
    *,
    select: Sequence[str],
    budget_s: float,
    claims: Claims,
    seed: int,
    on_progress: Listener,
) -> dict[str, Finding]:
    """Return the findings of the questions that the executor in force answers, by id; none where there is no executor.

    Network and data travel once, a question as its id. Asked here, afterwards, are: questions that are not installed
    (their code is only here), those about the speed of this machine, and those that train, whose trainings the executor
    spreads; and all of them where data are streamed or the network was made elsewhere.

    Args:
        asked: Questions that are wanted.
        subject: What is examined.
        select: Ids of those that are asked whatever they cost.
        budget_s: Seconds for the examination; a question counts as its cost divided by the cores of the executor.
        claims: Thresholds by question id and estimate name.
        seed: Draws every random choice of the questions.
        on_progress: Told how many are answered.
    """
    executor, fit = executor_in_force(), subject.fit
    if executor is None or fit is None:
        return {}
    if isinstance(fit.plan.network, ForeignNetwork) or not can_travel(subject.splits):
        return {}
    chosen = _chosen(asked, subject, select, budget_s, executor)
    if not chosen:
        return {}
    network, data = executor.share(pack_fit(fit)), executor.share(pack_splits(subject.splits))
    common = (network, data, fit.plan, fit.seed, subject.limit, dict(claims), seed)
    done: list[str] = []

    def tell(position: int, _finding: Finding) -> None:
        done.append(chosen[position][0].card.id)
        on_progress(Progress("examine", len(done), len(asked), f"{done[-1]} on {executor.name}"))

    tasks = [(question.card.id, budget, *common) for question, budget in chosen]
    found = executor.map(answer, tasks, needs=Needs(cpus=fit.execution.threads), on_done=tell)
    return {finding.question: finding for finding in found}


def answer(
    question: str,
    budget_s: float,
    network: Any,
    data: Any,
    plan: Plan,
    fit_seed: int,
    limit: int,
    claims: dict[str, Any],
    seed: int,
) -> Finding:
    """Answer an installed question where this is called; the task of `ask_elsewhere`.

    Args:
        question: Its id.
        budget_s: Seconds that it may take.
        network: The fit as a parcel.
        data: Its data as a parcel.
        plan: What it was trained by.
        fit_seed: The seed it was trained with.
        limit: `Subject.limit`.
        claims: Thresholds by question id and estimate name.
        seed: Draws every random choice of the question.
    """
    splits = unpack_splits(data)
    fit = unpack_fit(network, plan, fit_seed, splits)
    subject = Subject(network=fit.network, splits=splits, fit=fit, limit=limit)
    asked = next(one for one in questions() if one.card.id == question)
    with executing(fit.execution):
        return ask(asked, subject, claims=claims, budget_s=budget_s, seed=seed)


def _chosen(
    asked: Sequence[Question], subject: Subject, select: Sequence[str], budget_s: float, executor: Executor
) -> list[tuple[Question, float]]:
    """Return the questions that travel, each with the seconds that it may take."""
    installed = {question.card.id for question in questions()}
    chosen: list[tuple[Question, float]] = []
    planned_s = 0.0
    for question in asked:
        if question.card.id not in installed or question.card.theme == MEASURES_THIS_MACHINE:
            continue
        try:
            cost_s = float(question.cost_s(subject))
        except Exception:  # asked here, where the frame reports it
            continue
        left_s = budget_s - planned_s / executor.slots
        if cost_s < ON_REQUEST_S and (cost_s <= left_s or question.card.id in select):
            planned_s += cost_s
            chosen.append((question, max(left_s, cost_s)))
    return chosen
