"""The end of a course: what the adopted plan is worth on fresh seeds, and what the questions say of its network."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.course import Comparison
from equipoise.core.estimate import Estimate
from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, silent
from equipoise.core.report import Report
from equipoise.core.stop import StopReason
from equipoise.examine.examination import examine_subject
from equipoise.examine.question import InapplicableError
from equipoise.examine.record import report_of
from equipoise.examine.scoring import scored
from equipoise.examine.subject import Subject
from equipoise.fit.fit import fit
from equipoise.fit.fitted import Fit
from equipoise.stats.metrics import score_name
from equipoise.stats.paired import sign_flip_interval
from equipoise.treat.aims import Aim, aim_of
from equipoise.treat.arm import Arm, train_arm, within

FRESH = 8
"""Seeds of the last comparison; six are the fewest whose interval has ends."""


def compared(
    before: Plan,
    after: Plan,
    first_seed: int,
    questions: Sequence[str] = (),
    *,
    data: Any = None,
    trust: bool = False,
    folder: Path | None = None,
    on_progress: Listener = silent,
) -> Comparison:
    """Return both plans' scores on the test parts of seeds that no trial has seen; the only time these are read.

    Args:
        before: The plan as it was.
        after: The adopted plan.
        first_seed: The first of the fresh seeds.
        questions: What adopted treatments answer.
        data: For a plan that was made from data in Python: the same data again.
        trust: Whether a foreign network's file may be unpickled.
        folder: Where trainings are kept until the course is at its end.
        on_progress: Told how far it is.

    Raises:
        KeyboardInterrupt: A training was interrupted.
    """
    seeds = range(first_seed, first_seed + FRESH)
    arms = [
        train_arm(plan, seeds, data=data, trust=trust, folder=within(folder, name), on_progress=on_progress)
        for name, plan in (("before", before), ("after", after))
    ]
    one, two = ([test_score(arm.fits[seed]) for seed in seeds] for arm in arms)
    task = arms[0].fits[first_seed].splits.signature.task
    aims = [aim for question in questions if (aim := aim_of(question, task)) is not None]
    return Comparison(
        metric=f"test {score_name(task)}",
        seeds=tuple(seeds),
        before=tuple(one),
        after=tuple(two),
        difference=sign_flip_interval(np.array(two) - np.array(one)),
        aims={f"test {aim.name}": _difference(aim, *arms) for aim in aims},
    )


def _difference(aim: Aim, before: Arm, after: Arm) -> Estimate:
    one, two = (np.array([aim.on_test(fit) for fit in arm.fits.values()]) for arm in (before, after))
    worst = min([0.0, *(value for value in (*one, *two) if np.isfinite(value))])  # as in a trial
    one, two = (np.where(np.isfinite(values), values, worst) for values in (one, two))
    return sign_flip_interval(two - one)


def test_score(done: Fit) -> float:
    """Return the score of a network on its test part; one that gives no numbers counts 0, as in a trial."""
    try:
        return scored(Subject(done.network, done.splits, done), "test").estimate.value
    except InapplicableError:
        return 0.0


def trained(plan: Plan, folder: Path | None, *, data: Any, trust: bool, on_progress: Listener) -> Fit:
    """Return the network of a plan with its own seed; in a folder it goes on where it was cut off.

    Raises:
        KeyboardInterrupt: It was interrupted.
    """
    done = fit(plan, data=data, folder=folder, resume=folder is not None, trust=trust, on_progress=on_progress)
    if done.stopped is StopReason.INTERRUPTED:
        raise KeyboardInterrupt
    if folder is not None:
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return done


def examined(done: Fit, budget_s: float, command: str, on_progress: Listener) -> Report:
    """Return the report on a network that was trained here."""
    subject = Subject(done.network, done.splits, done)
    findings, not_examined = examine_subject(
        subject,
        budget_s=budget_s,
        claims=done.plan.claims,
        seed=done.seed,
        command=command,
        on_progress=on_progress,
    )
    return report_of(subject, findings, not_examined, name=done.plan.name, command=command)
