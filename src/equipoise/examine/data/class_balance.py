"""Asks whether rare classes are learned as well as common ones."""

from dataclasses import dataclass, field

import numpy as np

from equipoise.core.estimate import Estimate, Line, exact
from equipoise.core.figure import Bars, Table
from equipoise.core.finding import Finding
from equipoise.examine.conclude import conclude
from equipoise.examine.generalisation.accuracy_figures import class_table
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.scoring import scored
from equipoise.examine.subject import Subject
from equipoise.examine.wording import bracketed, count_of, percent
from equipoise.stats.intervals import bootstrap, difference_of_proportions
from equipoise.stats.metrics import IGNORED, ClassScores

RARE = 0.5
"""A class is rare when its share of the training labels is below this part of an equal share."""

_CARD = Card(
    id="class-balance",
    theme="data",
    title="Are rare classes learned as well as common ones?",
    why=(
        "Where one class fills the data, a network can do well by forgetting the others, and those are often the "
        "ones it was built for: the fraud, the tumour, the fault. Imbalance alone is no fault, so it is judged by "
        "what it does."
    ),
    how=(
        "`label_perplexity`: exp of the entropy of the training labels over the number of classes, 1 when all are "
        "equally common, with a bootstrap interval; reported, not judged. A class below half of an equal share is "
        "rare. `recall_gap`: the recall of all common classes minus that of all rare ones on the test part, pooled, "
        "with Newcombe's interval; pooling avoids the bias of picking the worst of many classes. "
        "`classes_not_trained` and `classes_not_tested` are the shares of classes without a training or test sample. "
        "In multilabel tasks a label counts as a class, by its positive samples."
    ),
    verdicts=(
        "pass: every class occurs in training and test part, and rare classes are found within 10 points as often as "
        "common ones (or none is rare). unsure: too few rare test samples to tell. warn: over 10 points less often, "
        "or a class without a test sample. fail: over 30 points, a class without a training sample, or most without "
        "a test sample."
    ),
    may_help=(
        "class-weights",
        "class-sampling",
        "a focal loss",
        "an output bias at the class shares",
        "more data of rare classes",
    ),
    sources=(
        "M. Buda, A. Maki and M. A. Mazurowski, A systematic study of the class imbalance problem in convolutional "
        "neural networks, Neural Networks 2018",
        "H. Ben Braiek and F. Khomh, TheDeepChecker: testing deep learning training programs, TOSEM 2022 (label "
        "perplexity)",
        "R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in "
        "Medicine 1998",
    ),
    lines={
        "recall_gap": Line(warn=0.1, fail=0.3),
        "classes_not_tested": Line(warn=0.0, fail=0.5),
        "classes_not_trained": Line(warn=0.0, fail=0.0),
    },
)


@dataclass(frozen=True, slots=True)
class ClassBalance:
    """Ask whether rare classes are found as often as common ones."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return 0.2 + min(subject.limit, len(subject.part("train"))) * 1e-4

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The task has no classes.
        """
        task = subject.task
        if not task.classes or task.kind not in ("binary", "multiclass", "multilabel", "sequence-labelling"):
            raise InapplicableError(f"a task of kind {task.kind} has no classes to balance")
        classes = len(task.classes)
        counts = _counts(subject, "train")
        totals = counts.sum(0)
        shares = totals / max(totals.sum(), 1)
        scores = class_table(task, scored(subject, "test"))
        rare = (shares < RARE / classes) & (totals > 0)
        tested = np.array([one.n for one in scores])
        found = np.array([round(one.recall.value * one.n) if one.recall else 0 for one in scores])
        estimates: dict[str, Estimate] = {
            "label_perplexity": bootstrap(_perplexity, counts, repeats=300),
            "classes_not_trained": exact(float((totals == 0).mean()), n=classes),
            "classes_not_tested": exact(float((tested == 0).mean()), n=classes),
        }
        common = (totals > 0) & ~rare
        perplexity = estimates["label_perplexity"]
        claim = (
            f"The label perplexity of {count_of(len(counts), 'training sample')} is {bracketed(perplexity)} of 1; "
            f"{int(rare.sum())} of {classes} classes are rare"
        )
        if tested[rare].sum() and tested[common].sum():
            estimates["recall_gap"] = difference_of_proportions(
                int(found[common].sum()), int(tested[common].sum()), int(found[rare].sum()), int(tested[rare].sum())
            )
            claim += (
                f", and {percent(found[rare].sum() / tested[rare].sum())} of their {tested[rare].sum():,} test "
                f"samples are found, against {percent(found[common].sum() / tested[common].sum())} of the common "
                f"ones: a gap of {bracketed(estimates['recall_gap'])}"
            )
        elif rare.any():
            claim += ", but the test part has no sample of them"
        missing = [f"{task.classes[k]} (never trained)" for k in np.flatnonzero(totals == 0)]
        missing += [f"{task.classes[k]} (never tested)" for k in np.flatnonzero(tested == 0)]
        missing += [
            f"{one.name} (rare, recall {percent(one.recall.value)})"
            for one, few in zip(scores, rare, strict=True)
            if few and one.recall
        ]
        return conclude(
            self.card,
            f"{claim}.",
            estimates,
            context.lines,
            where=missing[:20],
            figures=_figures(task.classes, totals, scores),
            assumptions=("Test samples are drawn as training samples are, with the same shares of classes.",),
        )


def _counts(subject: Subject, part: str) -> np.ndarray:
    """Return how often each class occurs in each sample (n, classes)."""
    targets, classes = subject.answers(part).targets, len(subject.task.classes)
    if subject.task.kind == "multilabel":
        return (targets > 0.5).astype(np.int64)
    if subject.task.kind == "sequence-labelling":
        return np.stack([(targets == k).sum(1) for k in range(classes)], axis=1)
    kept = targets != IGNORED
    return np.eye(classes, dtype=np.int64)[targets[kept]]


def _perplexity(counts: np.ndarray) -> float:
    totals = counts.sum(0)
    shares = totals[totals > 0] / max(totals.sum(), 1)
    return float(np.exp(-(shares * np.log(shares)).sum())) / counts.shape[1]


def _figures(classes: tuple[str, ...], totals: np.ndarray, scores: tuple[ClassScores, ...]) -> tuple[Bars, Table]:
    order = np.argsort(-totals, kind="stable")[:40]
    known = [scores[k] for k in order if scores[k].recall]
    bars = Bars(
        title="Recall by class, commonest class first",
        value_label="recall on the test part",
        labels=tuple(one.name for one in known),
        values=tuple(one.recall.value for one in known),
        low=tuple(one.recall.low for one in known),
        high=tuple(one.recall.high for one in known),
    )
    rows = tuple(
        (classes[k], f"{totals[k]:,}", percent(totals[k] / max(totals.sum(), 1)), f"{scores[k].n:,}") for k in order
    )
    return bars, Table(
        title="Labels by class", columns=("class", "in the training part", "share", "in the test part"), rows=rows
    )
