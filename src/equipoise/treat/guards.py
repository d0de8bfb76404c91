"""What must not get worse while a score gets better, read off the validation part."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from equipoise.core.signature import Task
from equipoise.examine.subject import Answers, Subject
from equipoise.fit.fitted import Fit
from equipoise.stats.metrics import brier
from equipoise.trial.paired import Measure

WORST_CLASS, PROBABILITIES, LARGEST_ERRORS = "accuracy of the worst class", "Brier score", "largest errors"
SCORE = "score"
"""The score itself, where a trial is decided by something else."""

SMALLEST_MARGIN = {WORST_CLASS: 0.05, PROBABILITIES: 0.02, LARGEST_ERRORS: 0.1}
"""How much each may get worse at least, however little seeds differ: shares of right answers, squared errors of
probabilities, and standard deviations of the target."""

TAIL = 0.95
"""Share of the errors that are smaller than those that count as the largest."""

REMEMBERED = 64
"""Networks whose answers on the validation part are kept, so that a trial asks each of them once."""


def guards_for(task: Task) -> dict[str, Measure]:
    """Return by name what a trial watches beside the score of a task; higher is better.

    Classification is watched for the accuracy of its worst class and for the honesty of its probabilities, regression
    for the size of its largest errors. Other tasks have nothing of the kind. The Brier score is a proper one; the
    calibration error is not: a network that has learned nothing is calibrated, and every cure would break that guard.
    """
    asked = lru_cache(maxsize=REMEMBERED)(_answers)
    if task.classifies:
        return {
            WORST_CLASS: lambda done: worst_class(asked(done)),
            PROBABILITIES: lambda done: -brier_score(asked(done)),
        }
    if task.kind == "regression":
        return {LARGEST_ERRORS: lambda done: -largest_errors(asked(done))}
    return {}


def guard_margins(guards: Mapping[str, Measure], untreated: Mapping[int, Fit]) -> dict[str, float]:
    """Return how much each guard may get worse: twice what another seed does to it, and at least `SMALLEST_MARGIN`.

    Args:
        guards: The guards.
        untreated: Networks of the untreated plan, by seed.
    """
    margins = {}
    for name, measure in guards.items():
        values = [one for one in map(measure, untreated.values()) if np.isfinite(one)]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        margins[name] = max(SMALLEST_MARGIN.get(name, 0.0), round(2 * spread, 4))
    return margins


def score_of(done: Fit) -> float:
    """Return the validation score."""
    return done.score


def worst_class(answers: Answers) -> float:
    """Return the lowest share of right answers among the classes that occur."""
    right = answers.predicted == answers.targets
    return min(float(right[answers.targets == one].mean()) for one in np.unique(answers.targets))


def brier_score(answers: Answers) -> float:
    """Return the mean squared error of the probabilities, in [0, 2] (Brier, Monthly Weather Review 1950)."""
    return float(brier(answers.targets, answers.answer).mean())


def largest_errors(answers: Answers) -> float:
    """Return the 95th percentile of absolute errors in standard deviations of the target, averaged over targets."""
    n = len(answers.targets)
    truth, said = answers.targets.reshape(n, -1), answers.answer.reshape(n, -1)
    scale = np.maximum(truth.std(0), 1e-12)
    return float(np.quantile(np.abs(said - truth) / scale, TAIL, axis=0).mean())


def _answers(done: Fit) -> Answers:
    return Subject(done.network, done.splits, done).answers("validation")
