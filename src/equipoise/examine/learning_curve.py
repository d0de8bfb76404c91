"""The learning curve of a subject's plan: its test score after training on shares of the training part."""

from dataclasses import dataclass

import numpy as np

from equipoise.core.figure import Curves, Series
from equipoise.core.progress import Listener
from equipoise.core.signature import Task
from equipoise.data.redivide import stratified_order, with_rows
from equipoise.examine.question import InapplicableError
from equipoise.examine.retraining import (
    FEWEST,
    cost_of_trainings,
    longer,
    other_seeds,
    own_fit,
    said_by,
    train,
    training_labels,
)
from equipoise.examine.subject import Subject
from equipoise.fit.cohort import Member
from equipoise.fit.fitted import Fit
from equipoise.stats.extrapolation import PowerLaw
from equipoise.stats.metrics import score, score_name

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Shares of the training part that are trained on."""

SEEDS = 6
"""Seeds of a curve, where a training is short."""

LONG_S = 240.0
"""Curves that take longer than this have `FEWEST` seeds."""

LEAST = 16
"""A share of the training part holds at least so many samples."""


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurve:
    """Scores of the same seeds at several sizes.

    Attributes:
        sizes: Training samples (sizes,), rising; the last is the whole training part.
        scores: Test score of each seed at each size (seeds, sizes).
        floor: What the simplest answer scores: the commonest class, or the mean.
    """

    sizes: np.ndarray
    scores: np.ndarray
    floor: float

    @property
    def errors(self) -> np.ndarray:
        """Distance of each score from a perfect one (seeds, sizes)."""
        apart: np.ndarray = 1 - self.scores
        return apart


def cost_of_curve(subject: Subject) -> float:
    """Return about how many seconds a curve takes; 0 where there can be none."""
    return 0.0 if "learning curve" in subject.made else cost_of_trainings(subject, _seeds(subject) * len(SHARES))


def learning_curve(subject: Subject, on_progress: Listener) -> LearningCurve:
    """Return the learning curve; trained once for all questions that ask for it.

    Raises:
        InapplicableError: The network was trained elsewhere, the task has no score over samples, or there are too few
            samples to leave some out.
    """
    return subject.once("learning curve", lambda: _curve(subject, on_progress))


def _seeds(subject: Subject) -> int:
    """Return how many seeds a curve has: a matter of the subject alone, since several questions share it."""
    fit = subject.fit
    return FEWEST if fit is None or SEEDS * len(SHARES) * fit.seconds > LONG_S else SEEDS


def _curve(subject: Subject, on_progress: Listener) -> LearningCurve:
    fit, kind = own_fit(subject), subject.task.kind
    if kind not in ("binary", "multiclass", "multilabel", "regression", "sequence-labelling"):
        raise InapplicableError(f"a task of kind {kind} has no score that grows with the data")
    n = len(fit.splits.train)
    least = max(LEAST, 2 * len(subject.task.classes))
    shares = [share for share in SHARES if share * n >= least]
    if len(shares) < 3:
        raise InapplicableError(
            f"{n} training samples are too few to train on a quarter of them (at least {4 * least} are needed)"
        )
    sizes = np.array([round(share * n) for share in shares])
    seeds = other_seeds(fit, _seeds(subject))
    members = [one for seed in seeds for one in _members(fit, seed, shares, sizes)]
    fits = train(members, on_progress)
    said, targets = said_by(fits, subject)
    scores = np.array([score(subject.task, targets, one) for one in said]).reshape(len(seeds), len(sizes))
    return LearningCurve(sizes, scores, _floor(subject, targets))


def _members(fit: Fit, seed: int, shares: list[float], sizes: np.ndarray) -> list[Member]:
    """Return the trainings of one seed: nested parts of one random order, each with as many steps."""
    order = stratified_order(len(fit.splits.train), np.random.default_rng(seed), training_labels(fit.splits))
    return [
        Member(
            plan=longer(fit.plan, share),
            seed=seed,
            splits=fit.splits
            if size == len(order)
            else with_rows(fit.splits, np.sort(order[:size]), f"{size:,} of {len(order):,} training samples"),
        )
        for share, size in zip(shares, sizes, strict=True)
    ]


def _floor(subject: Subject, targets: np.ndarray) -> float:
    """Return the score of an answer that is the same for all samples: the commonest class; the mean has an R2 of 0."""
    labels = training_labels(subject.splits)
    return float((targets == np.bincount(labels).argmax()).mean()) if labels is not None else 0.0


def curve_figure(task: Task, curve: LearningCurve, law: PowerLaw) -> Curves:
    """Return the measured scores with the fitted power law and its band, drawn on to four times the data."""
    grid = np.geomspace(curve.sizes[0], 4 * curve.sizes[-1], 40)
    band = [law.estimate(law.error(float(size))) for size in grid]
    measured = Series(
        name="measured",
        x=tuple(float(size) for size in np.repeat(curve.sizes[None], len(curve.scores), 0).ravel()),
        y=tuple(float(one) for one in curve.scores.ravel()),
        style="points",
    )
    fitted = Series(
        name="power law",
        x=tuple(float(size) for size in grid),
        y=tuple(1 - one.value for one in band),
        low=tuple(1 - one.high for one in band),
        high=tuple(1 - one.low for one in band),
    )
    return Curves(
        title="Score by training samples, and what more would give",
        x_label="training samples",
        y_label=f"test {score_name(task)}",
        series=(measured, fitted),
        log_x=True,
    )
