"""Asks how many training labels are wrong, and which."""

from dataclasses import dataclass, field

import numpy as np
import torch

from equipoise.core.estimate import Line
from equipoise.core.figure import Matrix, Tile
from equipoise.core.finding import Finding
from equipoise.data.redivide import stratified_order, with_rows
from equipoise.data.tiles import tile
from equipoise.examine.conclude import conclude
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.retraining import cost_of_trainings, other_seeds, own_fit, train, training_labels
from equipoise.examine.subject import Subject
from equipoise.examine.wording import count_of, percent, percent_bracketed
from equipoise.fit.cohort import Member
from equipoise.fit.fitted import Fit
from equipoise.networks.network import answers
from equipoise.stats.confident import confident_classes, label_joint, noise_estimate, suspects

_CARD = Card(
    id="label-noise",
    theme="data",
    title="Are labels wrong?",
    why=(
        "Wrong labels in the training part teach wrong answers, and in the test part they hide what the network can "
        "do. A network that is large enough learns them by heart. Among thousands of samples nobody finds them by "
        "looking; networks that have not seen a sample can point at it."
    ),
    how=(
        "Confident learning: the training part is divided into folds, and the plan is trained on all folds but one, "
        "which it then judges, so that every label is judged by a network that has not seen it. A sample whose "
        "probability of another class reaches that class's usual confidence counts as belonging there. `noise` is the "
        "share of wrong labels in the estimated joint distribution of given and true labels, with a bootstrap interval "
        "over samples."
    ),
    verdicts=(
        "pass: at most 3 % of the labels look wrong. warn: surely more. fail: surely more than 10 %. Look at the "
        "samples shown before you drop any: an input that belongs to two classes looks the same as a wrong label."
    ),
    may_help=("label-pruning", "label-smoothing", "early-stopping", "relabel the samples shown"),
    sources=(
        "C. G. Northcutt, L. Jiang and I. L. Chuang, Confident learning: estimating uncertainty in dataset labels, "
        "JAIR 2021",
        "C. G. Northcutt, A. Athalye and J. Mueller, Pervasive label errors in test sets destabilize machine learning "
        "benchmarks, NeurIPS 2021",
    ),
    lines={"noise": Line(warn=0.03, fail=0.1)},
)

FOLDS = 4
_LEAST, _WORST, _MOST_CLASSES = 20, 12, 30


@dataclass(frozen=True, slots=True)
class LabelNoise:
    """Ask what share of the training labels look wrong to networks that have not seen them.

    Attributes:
        folds: Networks that are trained; each judges one fold.
    """

    folds: int = FOLDS
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return cost_of_trainings(subject, self.folds) if subject.task.classifies else 0.0

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was trained elsewhere, samples have no classes, or there are too few of one.
        """
        fit, task = own_fit(subject), subject.task
        labels = training_labels(fit.splits)
        if labels is None:
            raise InapplicableError(f"a task of kind {task.kind} has no classes that a label could confuse")
        counts = np.bincount(labels, minlength=len(task.classes))
        if len(labels) < _LEAST * self.folds or counts[counts > 0].min() < self.folds:
            raise InapplicableError(
                f"{len(labels):,} training samples, {counts[counts > 0].min()} of the rarest class, are too few to "
                f"judge them in {self.folds} folds"
            )
        said = _cross_validated(fit, labels, self.folds, context)
        noise, wrong = noise_estimate(labels, said), suspects(labels, said)
        pairs = _pairs(task.classes, labels, said)
        return conclude(
            self.card,
            f"Of {count_of(len(labels), 'training label')}, {percent_bracketed(noise)} look wrong to networks that "
            f"have not seen them; {_belonging(len(wrong))} to another class"
            f"{f', most often {pairs[0]}' if pairs else ''}.",
            {"noise": noise},
            context.lines,
            where=pairs[:10],
            worst_samples=_tiles(subject, fit, wrong, labels, said),
            figures=(_matrix(task.classes, labels, said),) if len(task.classes) <= _MOST_CLASSES else (),
            assumptions=(
                "The chance of a wrong label depends on the classes alone, and every input belongs to one class.",
                "The validation part, by which each network is chosen, may hold wrong labels too.",
            ),
        )


def _belonging(count: int) -> str:
    return "1 of them surely belongs" if count == 1 else f"{count:,} of them surely belong"


def _cross_validated(fit: Fit, labels: np.ndarray, folds: int, context: Context) -> np.ndarray:
    """Return for each training sample the probabilities (n, classes) of a network that has not seen it."""
    order = stratified_order(len(labels), np.random.default_rng(fit.seed), labels)
    fold = np.empty(len(labels), dtype=np.int64)
    fold[order] = np.arange(len(labels)) % folds
    members = [
        Member(
            plan=fit.plan,
            seed=seed,
            splits=with_rows(fit.splits, np.flatnonzero(fold != k), f"without fold {k + 1} of {folds}"),
        )
        for k, seed in enumerate(other_seeds(fit, folds))
    ]
    fits = train(members, context.on_progress)
    said = np.zeros((len(labels), len(fit.splits.signature.task.classes)))
    for k, one in enumerate(fits):
        for chunk in torch.from_numpy(np.flatnonzero(fold == k)).split(512):
            said[chunk.numpy()] = answers(one.network, fit.splits.train.batch(chunk)[0]).cpu().numpy()
    if not np.isfinite(said).all():
        raise InapplicableError("a training ends with answers that are not finite; see training-stability")
    return said


def _pairs(classes: tuple[str, ...], labels: np.ndarray, said: np.ndarray) -> list[str]:
    """Return the confusions of labels that the joint distribution holds, commonest first."""
    joint = label_joint(labels, said)
    np.fill_diagonal(joint, 0.0)
    order = np.argsort(-joint, axis=None, kind="stable")[:10]
    found = [(int(k) // len(joint), int(k) % len(joint)) for k in order]
    return [
        f"{classes[i]} that should be {classes[j]} ({percent(float(joint[i, j]))} of all)"
        for i, j in found
        if joint[i, j] > 0
    ]


def _tiles(subject: Subject, fit: Fit, wrong: np.ndarray, labels: np.ndarray, said: np.ndarray) -> tuple[Tile, ...]:
    if not len(wrong):
        return ()
    names, belongs = subject.task.classes, confident_classes(labels, said)
    inputs, _ = fit.splits.train.batch(torch.from_numpy(wrong[:_WORST]))
    return tuple(
        tile(
            fit.splits.signature.inputs,
            one,
            f"training sample {row} is called {names[labels[row]]}, looks like {names[belongs[row]]} "
            f"({percent(float(said[row, belongs[row]]), 0)})",
        )
        for one, row in zip(inputs, (int(row) for row in wrong[:_WORST]), strict=True)
    )


def _matrix(classes: tuple[str, ...], labels: np.ndarray, said: np.ndarray) -> Matrix:
    joint = label_joint(labels, said) * len(labels)
    return Matrix(
        title="Given and likely true labels, in training samples",
        row_label="given label",
        column_label="likely true label",
        rows=classes,
        columns=classes,
        values=tuple(tuple(round(float(one), 1) for one in row) for row in joint),
    )
