"""Asks all questions of one subject within a budget of time."""

import contextlib
import shlex
import time
from collections.abc import Sequence

import numpy as np

from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding, NotExamined
from equipoise.core.progress import Listener, Progress, silent
from equipoise.examine.ask import NO_CLAIMS, ask, error_finding
from equipoise.examine.catalogue import named_by, questions
from equipoise.examine.claims import Claims, check_claims
from equipoise.examine.elsewhere import ask_elsewhere
from equipoise.examine.question import Question
from equipoise.examine.subject import Subject
from equipoise.fit.execution import executing
from equipoise.stats.multiplicity import benjamini_hochberg, threshold_p

BY_CHANCE = 0.025
"""Chance with which one 95 % interval lies wholly beyond a line on which the truth lies."""


def examine_subject(
    subject: Subject,
    *,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    budget_s: float = 45.0,
    claims: Claims = NO_CLAIMS,
    seed: int = 0,
    command: str = "",
    on_progress: Listener = silent,
    plugins: Sequence[Question] = (),
) -> tuple[tuple[Finding, ...], tuple[NotExamined, ...]]:
    """Return the findings of all questions that fit the budget, and the questions that were not asked.

    Questions are asked by theme. One whose cost exceeds what is left of the budget is passed over, and cheaper ones
    after it are still asked; one selected by its id is always asked.

    Args:
        subject: What is examined.
        select: Ids or themes to ask, or a single one; all when empty.
        ignore: Ids or themes to leave out, or a single one; stronger than `select`.
        budget_s: Seconds for the examination, at least 0.
        claims: Thresholds by question id and estimate name.
        seed: Draws every random choice of the questions.
        command: The command that led here; the way to ask a question that was left out is built from it.
        on_progress: Told how far the examination is.
        plugins: Questions beyond the installed ones.

    Raises:
        ValueError: A name or a claim that fits no question, or a negative budget.
    """
    if not budget_s >= 0:
        raise ValueError(f"got a budget of {budget_s} s; expected 0 or more. Use select to ask only a few questions.")
    select, ignore = _listed(select), _listed(ignore)
    known = questions(plugins)
    check_claims(claims, known)
    wanted = named_by(select, known) if select else frozenset(question.card.id for question in known)
    unwanted = named_by(ignore, known)
    start = time.perf_counter()
    asked = [question for question in known if question.card.id in wanted - unwanted]
    elsewhere = ask_elsewhere(
        asked, subject, select=select, budget_s=budget_s, claims=claims, seed=seed, on_progress=on_progress
    )
    answers: list[Finding | NotExamined] = []
    for done, question in enumerate(known):
        card = question.card
        on_progress(Progress("examine", done, len(known), card.id))
        left, always = budget_s - (time.perf_counter() - start), card.id in select
        if question not in asked:
            reason = "left out on request (ignore)" if card.id in unwanted else "not among those asked for (select)"
            answers.append(_not_examined(question, reason, command))
        elif card.id in elsewhere:
            answers.append(elsewhere[card.id])
        else:
            with _as_trained(subject):
                answers.append(_asked_or_left(question, subject, left, always, claims, seed, command, on_progress))
    findings = [one for one in answers if isinstance(one, Finding)]
    not_asked = tuple(one for one in answers if isinstance(one, NotExamined))
    on_progress(Progress("examine", len(known), len(known), _summary(findings, not_asked), finished=True))
    return _with_multiplicity(findings), not_asked


def _listed(names: Sequence[str]) -> Sequence[str]:
    """Return names as a sequence; a string is one name, not its letters."""
    if isinstance(names, str):
        return (names,) if names else ()
    return names


def _as_trained(subject: Subject) -> contextlib.AbstractContextManager[None]:
    """Run with the thread count that the training chose, which a small network on a busy machine needs."""
    return executing(subject.fit.execution) if subject.fit else contextlib.nullcontext()


def _asked_or_left(
    question: Question,
    subject: Subject,
    left_s: float,
    always: bool,
    claims: Claims,
    seed: int,
    command: str,
    on_progress: Listener,
) -> Finding | NotExamined:
    try:
        cost = float(question.cost_s(subject))
    except Exception as problem:
        return error_finding(question.card, problem)
    if cost > left_s and not always:
        reason = f"takes about {cost:.1f} s, and {max(left_s, 0):.1f} s of the budget were left"
        return _not_examined(question, reason, command)
    return ask(question, subject, claims=claims, budget_s=max(left_s, cost), seed=seed, on_progress=on_progress)


def _not_examined(question: Question, reason: str, command: str) -> NotExamined:
    card = question.card
    return NotExamined(question=card.id, theme=card.theme, reason=reason, command=_command(command, card.id))


def _command(command: str, question: str) -> str:
    """Return how to ask one question: an option of the command line, or an argument of the Python call."""
    if command.endswith(")"):
        return f'{command[:-1]}, select=["{question}"])'
    return f"{command} --select {shlex.quote(question)}" if command else f"--select {shlex.quote(question)}"


def _summary(findings: Sequence[Finding], left_out: Sequence[NotExamined]) -> str:
    counts = [(verdict, sum(finding.verdict is verdict for finding in findings)) for verdict in Verdict]
    shown = ", ".join(f"{count} {verdict.value}" for verdict, count in counts if count)
    asked = f"{len(findings)} question{'' if len(findings) == 1 else 's'}: {shown}" if findings else "no question asked"
    return f"{asked}; {len(left_out)} not asked" if left_out else asked


def _with_multiplicity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings; those that many looks at chance alone might explain say so among their assumptions.

    A verdict needs a whole 95 % interval beyond its line. Among many lines some intervals lie there by chance, so every
    judged line gets a p value against its warning threshold, adjusted by Benjamini and Hochberg (1995).
    """
    judged = [
        (k, threshold_p(finding.estimates[name], line))
        for k, finding in enumerate(findings)
        for name, line in finding.lines.items()
        if name in finding.estimates
    ]
    adjusted = benjamini_hochberg(np.array([p for _, p in judged]))
    noted = list(findings)
    for k, finding in enumerate(findings):
        own = [float(q) for (owner, _), q in zip(judged, adjusted, strict=True) if owner == k]
        if finding.verdict in (Verdict.WARN, Verdict.FAIL) and own and min(own) > BY_CHANCE:
            note = (
                f"{len(judged)} thresholds were judged in this examination; allowing for so many (Benjamini and "
                f"Hochberg), chance alone gives such a result with probability {min(own):.2f}: measure again "
                "before acting on it."
            )
            noted[k] = finding.model_copy(update={"assumptions": (*finding.assumptions, note)})
    return tuple(noted)
