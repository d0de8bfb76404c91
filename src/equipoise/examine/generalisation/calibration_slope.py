"""Calibration of predicted values: are they too bold, too timid, or off on average?"""

import math

import numpy as np

from equipoise.core.estimate import Estimate
from equipoise.core.figure import Curves, Series
from equipoise.core.finding import Finding
from equipoise.examine.conclude import conclude
from equipoise.examine.generalisation.accuracy_figures import worst_samples
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.scoring import scored
from equipoise.examine.subject import Subject
from equipoise.examine.wording import bracketed, count_of
from equipoise.stats.intervals import bootstrap, mean


def regression_finding(card: Card, subject: Subject, context: Context) -> Finding:
    """Return the finding on the calibration of values: slope of truth on answer, and mean error.

    Several targets are put on the scale of their standard deviations in the training part and pooled.

    Raises:
        InapplicableError: The answers, or the training targets, do not vary.
    """
    pair = scored(subject, "test")
    train = scored(subject, "train").targets.astype(float)
    kept = train.std(0) > 0
    if not kept.any():
        raise InapplicableError("the training targets do not vary, so there is no scale to judge errors by")
    scale = train.std(0)[kept]
    truth, answer = (
        side.astype(float)[:, kept] / scale for side in (pair.targets, pair.answer.reshape(len(pair.answer), -1))
    )
    if not (answer.std(0) > 1e-9).any():
        raise InapplicableError("the network answers every sample alike, so the slope of truth on answer is undefined")
    slope = bootstrap(slope_of, truth, answer)
    off = mean((answer - truth).mean(1), unit="standard deviations")
    estimates = {"slope": slope, "slope_error": _size(slope, 1.0), "mean_error": off, "bias": _size(off, 0.0)}
    claim = (
        f"Where its answers on {count_of(len(answer), 'test sample')} differ by 1, the truth differs by "
        f"{bracketed(slope)}; on average they are off by {bracketed(off)} standard deviations of the target."
    )
    if slope.high < 1 or slope.low > 1:
        claim += " It is too bold." if slope.high < 1 else " It is too timid."
    return conclude(
        card,
        claim,
        estimates,
        context.lines,
        worst_samples=worst_samples(subject, pair)[:6],
        figures=(_bins(truth, answer),),
        treatments=("early-stopping", "weight-decay", "dropout", "deep-ensemble")
        if slope.high < 1
        else ("more-epochs",),
        assumptions=("The network gives one value a sample and no spread, so only its mean can be judged.",),
    )


def slope_of(truth: np.ndarray, answer: np.ndarray) -> float:
    """Return the slope of truth on answer (n, columns), pooled over columns that are centred each."""
    t, a = truth - truth.mean(0), answer - answer.mean(0)
    spread = float((a * a).sum())
    return float((t * a).sum()) / spread if spread > 0 else math.nan


def _size(estimate: Estimate, origin: float) -> Estimate:
    """Return the distance of an estimate from a value, with its interval."""
    ends = sorted((abs(estimate.low - origin), abs(estimate.high - origin)))
    inside = estimate.low <= origin <= estimate.high
    value = abs(estimate.value - origin)
    return estimate.replace(value=value, low=0.0 if inside else min(ends[0], value), high=max(ends[1], value))


def _bins(truth: np.ndarray, answer: np.ndarray) -> Curves:
    t, a = truth.ravel(), answer.ravel()
    parts = np.array_split(np.argsort(a, kind="stable"), max(1, min(12, len(a) // 15)))
    points = [(float(a[part].mean()), mean(t[part])) for part in parts if len(part) > 1]
    return Curves(
        title="Mean truth against mean answer",
        x_label="answer (standard deviations of the target)",
        y_label="truth",
        series=(
            Series(
                name="groups of equal size",
                x=tuple(x for x, _ in points),
                y=tuple(one.value for _, one in points),
                low=tuple(one.low for _, one in points),
                high=tuple(one.high for _, one in points),
                style="points",
            ),
        ),
        diagonal=True,
    )
