"""Asks how much of what the network says is owed to the seed alone."""

from dataclasses import dataclass, field

import numpy as np

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Bars, Tile
from equipoise.core.finding import Finding
from equipoise.core.signature import Task
from equipoise.data.tiles import tile
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
from equipoise.examine.wording import bracketed, count_of, percent_bracketed, with_interval
from equipoise.fit.cohort import Member
from equipoise.stats.churn import churn, disagreement, spread
from equipoise.stats.intervals import deviation, mean_score
from equipoise.stats.metrics import IGNORED, score, score_name

_CARD = Card(
    id="seed-stability",
    theme="stability",
    title="Would another seed give the same answers?",
    why=(
        "Two networks of the same plan, data and score may disagree on many samples, because first weights and order "
        "were drawn anew. Whoever replaces one by the other changes answers for no reason, and whoever compares two "
        "plans by one training each compares seeds."
    ),
    how=(
        "The plan is trained again with 2 to 7 other seeds on the same parts. `churn` is the share of test samples on "
        "which two of the networks decide differently, over all pairs; for values, `spread` is the root mean squared "
        "difference of two networks' answers in standard deviations of the targets. The interval holds for other "
        "seeds and other samples: a jackknife over networks plus the variance over samples. `score` is the mean test "
        "score over seeds with Student's t interval, `score_deviation` its standard deviation over seeds."
    ),
    verdicts=(
        "pass: two networks disagree on at most 10 % of the samples (values: differ by at most 0.3 standard "
        "deviations). warn: surely more. fail: surely above 25 % (0.8 standard deviations)."
    ),
    may_help=(
        "deep-ensemble",
        "tail-averaging",
        "exponential-averaging",
        "cosine",
        "warm-up",
        "early-stopping",
        "more data",
    ),
    sources=(
        "M. Milani Fard, Q. Cormier, K. Canini and M. Gupta, Launch and iterate: reducing prediction churn, NeurIPS "
        "2016",
        "S. Bhojanapalli et al., On the reproducibility of neural network predictions, 2021, arXiv 2102.03349",
        "B. Efron and C. Stein, The jackknife estimate of variance, Annals of Statistics 1981",
    ),
    lines={"churn": Line(warn=0.1, fail=0.25), "spread": Line(warn=0.3, fail=0.8)},
)

_DECIDED = ("binary", "multiclass", "multilabel", "sequence-labelling")
WORST = 12


@dataclass(frozen=True, slots=True)
class SeedStability:
    """Ask on how many samples networks of other seeds decide differently.

    Attributes:
        most: Networks at most, with the one that is examined.
    """

    most: int = MOST
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return cost_of_trainings(subject, FEWEST - 1)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was trained elsewhere, or neither decides nor gives values.
        """
        fit, task = own_fit(subject), subject.task
        if task.kind not in (*_DECIDED, "regression"):
            raise InapplicableError(f"a task of kind {task.kind} has no answers that two seeds could agree on")
        count = affordable_seeds(fit, context, most=self.most)
        members = [Member(plan=fit.plan, seed=seed, splits=fit.splits) for seed in other_seeds(fit, count - 1)]
        fits = (fit, *train_within(members, FEWEST - 1, context))
        said, targets = said_by(fits, subject)
        scores = np.array([score(task, targets, one) for one in said])
        estimates = {**_apart(task, said, targets), "score": mean_score(scores), "score_deviation": deviation(scores)}
        return conclude(
            self.card,
            _claim(task, estimates, len(targets), len(fits)),
            estimates,
            context.lines,
            worst_samples=_most_disputed(subject, said) if task.classifies else (),
            figures=(_bars(task, [one.seed for one in fits], scores),),
            assumptions=("All seeds share one division into parts; first weights, order and random changes differ.",),
            counted="seeds",
        )


def _apart(task: Task, said: np.ndarray, targets: np.ndarray) -> dict[str, Estimate]:
    if task.kind == "regression":
        return {"spread": spread(said, max(float(targets.std()), 1e-12))}
    if task.kind == "multilabel":
        return {"churn": churn((said > 0.5).astype(np.int64))}
    decided = said.argmax(-1)
    if task.kind == "sequence-labelling":
        # Padded steps are decided by nobody, so that all agree on them: count them out by their share.
        kept = targets != IGNORED
        decided = np.stack([one[kept] for one in decided])
    return {"churn": churn(decided)}


def _claim(task: Task, estimates: dict[str, Estimate], samples: int, seeds: int) -> str:
    said = (
        f"differ by {bracketed(estimates['spread'])} standard deviations of the target on"
        if "spread" in estimates
        else f"decide differently on {percent_bracketed(estimates['churn'])} of"
    )
    return (
        f"Two networks that were trained alike but for the seed {said} {count_of(samples, 'test sample')}; over "
        f"{seeds} seeds the {score_name(task)} is {with_interval(task, estimates['score'])} with a standard deviation "
        f"of {estimates['score_deviation'].value:.2g}."
    )


def _most_disputed(subject: Subject, said: np.ndarray) -> tuple[Tile, ...]:
    """Return the samples on which most pairs of networks disagree."""
    decided, asked = said.argmax(-1), subject.answers("test")
    apart = disagreement(decided)
    order = [int(row) for row in np.argsort(-apart, kind="stable")[:WORST] if apart[row] > 0]
    names = subject.task.classes
    shown: list[Tile] = []
    for row in order:
        classes, counts = np.unique(decided[:, row], return_counts=True)
        votes = ", ".join(f"{names[one]} {count}" for one, count in zip(classes, counts, strict=True))
        shown.append(
            tile(subject.splits.signature.inputs, asked.inputs[row], f"is {names[asked.targets[row]]}: {votes}")
        )
    return tuple(shown)


def _bars(task: Task, seeds: list[int], scores: np.ndarray) -> Bars:
    return Bars(
        title="Test score of each seed",
        value_label=score_name(task),
        labels=tuple(f"seed {seed}" for seed in seeds),
        values=tuple(float(one) for one in scores),
    )
