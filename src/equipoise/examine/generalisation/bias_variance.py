"""Asks which part of the error would vanish if many such networks were averaged."""

from dataclasses import dataclass, field

import numpy as np

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Bars
from equipoise.core.finding import Finding
from equipoise.core.signature import Task
from equipoise.data.redivide import with_rows
from equipoise.examine.conclude import conclude
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.retraining import (
    FEWEST,
    MOST,
    affordable_seeds,
    cost_of_trainings,
    other_seeds,
    own_fit,
    said_by,
    train_within,
)
from equipoise.examine.subject import Subject
from equipoise.examine.wording import bracketed, count_of, percent_bracketed
from equipoise.fit.cohort import Member
from equipoise.fit.fitted import Fit
from equipoise.stats.decomposition import Decomposition, decompose_decisions, decompose_squared

_CARD = Card(
    id="bias-variance",
    theme="generalisation",
    title="Is it wrong on average, or by accident?",
    why=(
        "An error has two cures that work against each other. What a network gets wrong because its training samples "
        "and its seed happened to be these (variance) shrinks with averaging, regularisation and data; what all such "
        "networks get wrong alike (bias, with the noise of the targets in it) needs another network, other inputs or "
        "other labels. The score does not say which it is."
    ),
    how=(
        "The plan is trained with several seeds, each on a bootstrap sample of the training part, and asked about the "
        "test part. Decisions: `bias` is the error of what most networks say, `variance` what one network loses "
        "against that. Values: `bias` is the squared distance of the mean answer from the truth, freed of the mean's "
        "own variance, `variance` the variance between networks, both in units of the targets' variance. They add up "
        "to `error`. Intervals hold for other networks and other samples."
    ),
    verdicts=(
        "pass: varying costs at most 0.04 (4 points of the decisions, 4 % of the targets' variance). warn: surely "
        "more. fail: surely more than 0.15. Bias is not judged here, since the noise of the targets is in it; see "
        "accuracy and underfitting."
    ),
    may_help=("bagged-ensemble", "deep-ensemble", "weight-decay", "dropout", "mixup", "early-stopping", "more data"),
    sources=(
        "S. Geman, E. Bienenstock and R. Doursat, Neural networks and the bias/variance dilemma, Neural Computation "
        "1992",
        "P. Domingos, A unified bias-variance decomposition and its applications, ICML 2000",
        "B. Neal et al., A modern take on the bias-variance tradeoff in neural networks, 2018, arXiv 1810.08591",
    ),
    lines={"variance": Line(warn=0.04, fail=0.15)},
)


@dataclass(frozen=True, slots=True)
class BiasVariance:
    """Ask how much of the error is owed to the training samples and the seed.

    Attributes:
        most: Networks at most.
    """

    most: int = MOST
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return cost_of_trainings(subject, FEWEST)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was trained elsewhere, or gives neither one decision nor values.
        """
        fit, task = own_fit(subject), subject.task
        if not task.classifies and task.kind != "regression":
            raise InapplicableError(f"an error of a task of kind {task.kind} has no such parts")
        seeds = other_seeds(fit, affordable_seeds(fit, context, most=self.most))
        fits = train_within([_member(fit, seed) for seed in seeds], FEWEST, context)
        said, targets = said_by(fits, subject)
        parts = _parts(task, said, targets)
        return conclude(
            self.card,
            _claim(task, parts, len(targets), len(fits)),
            {"variance": parts.variance, "bias": parts.bias, "error": parts.error},
            context.lines,
            figures=(_bars(parts),),
            assumptions=(
                "Bootstrap samples stand for new training parts; they hold 63 % of the different samples, so that "
                "error and variance are a little larger than those of networks trained on all of them.",
                "The noise of the targets is counted as bias.",
            ),
            counted="seeds",
        )


def _member(fit: Fit, seed: int) -> Member:
    n = len(fit.splits.train)
    rows = np.sort(np.random.default_rng(seed).integers(0, n, n))
    note = f"a bootstrap sample of {n:,} training samples"
    return Member(plan=fit.plan, seed=seed, splits=with_rows(fit.splits, rows, note))


def _parts(task: Task, said: np.ndarray, targets: np.ndarray) -> Decomposition:
    if task.classifies:
        return decompose_decisions(said.argmax(-1), targets)
    flat = targets.reshape(len(targets), -1)
    return decompose_squared(said.reshape(len(said), *flat.shape), flat, np.maximum(flat.var(0), 1e-12))


def _claim(task: Task, parts: Decomposition, samples: int, networks: int) -> str:
    def shown(one: Estimate) -> str:
        return percent_bracketed(one) if task.classifies else bracketed(one)

    what = "of the decisions are wrong" if task.classifies else "of the targets' variance is left"
    return (
        f"Over {networks} networks on bootstrap samples, {shown(parts.error)} {what} on "
        f"{count_of(samples, 'test sample')}: {shown(parts.bias)} by all of them together (bias and noise), "
        f"{shown(parts.variance)} because they vary."
    )


def _bars(parts: Decomposition) -> Bars:
    shown = {"error": parts.error, "bias and noise": parts.bias, "variance": parts.variance}
    return Bars(
        title="The error in its parts",
        value_label="share",
        labels=tuple(shown),
        values=tuple(one.value for one in shown.values()),
        low=tuple(one.low for one in shown.values()),
        high=tuple(one.high for one in shown.values()),
    )
