"""The frame that asks one question, and guarantees what a question is not trusted with."""

import hashlib
import time
import traceback
from pathlib import Path

import torch

from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.progress import Listener, silent
from equipoise.examine.claims import Claims, lines_of
from equipoise.examine.isolation import put_back, record
from equipoise.examine.question import Card, Context, InapplicableError, Question
from equipoise.examine.subject import Subject

NO_CLAIMS: Claims = {}


def ask(
    question: Question,
    subject: Subject,
    *,
    claims: Claims = NO_CLAIMS,
    budget_s: float = 60.0,
    seed: int = 0,
    on_progress: Listener = silent,
) -> Finding:
    """Return the finding of one question.

    Whatever the question does, its random numbers come from its own generator, an exception becomes an `error` finding,
    one that cannot be asked becomes `skipped` with its reason, and the network (weights, buffers, mode, hooks,
    `requires_grad`, `.grad`), the cached answers and the global random states of torch, numpy and python are as
    before: what was changed is put back, and named in an `error` finding.

    Args:
        question: The question.
        subject: What is examined.
        claims: Thresholds by question id and estimate name that replace the question's own.
        budget_s: Seconds it may take; taking longer is noted, not punished.
        seed: With the question's id, seeds its generator.
        on_progress: Told how far a long answer is.

    Raises:
        ValueError: Claims about this question that do not fit it.
    """
    card = question.card
    context = Context(own_generator(card.id, seed), lines_of(card, claims), budget_s, on_progress)
    before = record(subject)
    start = time.perf_counter()
    try:
        finding = _checked(card, question.answer(subject, context))
    except InapplicableError as reason:
        finding = _plain(card, Verdict.SKIPPED, str(reason))
    except Exception as problem:
        finding = error_finding(card, problem)
    finally:
        changes = put_back(subject, before)
    seconds = time.perf_counter() - start
    if changes:
        finding = _changed(card, changes)
    if seconds > budget_s:
        note = f"It took {seconds:.1f} s of a budget of {budget_s:.1f} s."
        finding = finding.replace(assumptions=(*finding.assumptions, note))
    return finding.model_copy(update={"seconds": seconds})


def own_generator(question: str, seed: int) -> torch.Generator:
    """Return the generator of a question: the same for one id and seed, whatever was asked before."""
    digest = hashlib.sha256(f"{seed}:{question}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def error_finding(card: Card, problem: Exception) -> Finding:
    """Return the `error` finding of a question that raised: the message in the claim, the place in `where`."""
    frames = traceback.extract_tb(problem.__traceback__)
    where = f"{'/'.join(Path(frames[-1].filename).parts[-2:])}:{frames[-1].lineno} in {frames[-1].name}"
    message = " ".join(str(problem).split()) or "no message"
    return _plain(card, Verdict.ERROR, f"The question failed with {type(problem).__name__}: {message}", where=(where,))


def _checked(card: Card, finding: object) -> Finding:
    if not isinstance(finding, Finding):
        raise TypeError(
            f"got {type(finding).__name__} from the question {card.id!r}; expected a Finding. Return `conclude(...)`."
        )
    if finding.question != card.id:
        raise ValueError(
            f"got a finding about {finding.question!r} from the question {card.id!r}; expected its own id. "
            "Build the finding from the question's own card."
        )
    return finding


def _changed(card: Card, changes: tuple[str, ...]) -> Finding:
    shown = "; ".join(changes[:5]) + (f"; and {len(changes) - 5} more" if len(changes) > 5 else "")
    claim = (
        f"The question changed {len(changes)} thing{'s' if len(changes) > 1 else ''} it must leave alone, "
        f"so its answer is not shown: {shown}. Everything was put back."
    )
    return _plain(card, Verdict.ERROR, claim, where=changes)


def _plain(card: Card, verdict: Verdict, claim: str, *, where: tuple[str, ...] = ()) -> Finding:
    return Finding(question=card.id, theme=card.theme, title=card.title, verdict=verdict, claim=claim, where=where)
