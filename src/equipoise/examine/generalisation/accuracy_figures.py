"""What the chapter on accuracy draws: scores side by side, confusions, classes, and the worst samples."""

from collections.abc import Sequence

import numpy as np

from equipoise.core.estimate import Estimate
from equipoise.core.figure import Bars, Curves, Figure, Matrix, Series, Table, Tile
from equipoise.core.signature import Task
from equipoise.data.tiles import tile
from equipoise.examine.generalisation.baselines import Baseline
from equipoise.examine.scoring import Scored
from equipoise.examine.subject import Subject
from equipoise.examine.wording import percent
from equipoise.stats.metrics import IGNORED, ClassScores, class_scores, confusion_matrix, per_class, score_name

MOST_CLASSES = 30
MOST_POINTS = 400
WORST = 12


def side_by_side(task: Task, network: Estimate, found: Sequence[Baseline]) -> Bars:
    """Return the scores of network and baselines as bars with intervals."""
    estimates = (network, *(one.test for one in found))
    return Bars(
        title="The network beside simple methods",
        value_label=f"{score_name(task)} on the test part",
        labels=("the network", *(one.name for one in found)),
        values=tuple(one.value for one in estimates),
        low=tuple(one.low for one in estimates),
        high=tuple(one.high for one in estimates),
    )


def class_table(task: Task, pair: Scored) -> tuple[ClassScores, ...]:
    """Return precision, recall and F1 of every class (multilabel: of every label); empty for tasks without classes."""
    if task.kind == "multilabel":
        called, true = pair.answer > 0.5, pair.targets > 0.5
        counts = ((called & true).sum(0), true.sum(0), called.sum(0))
        return tuple(
            class_scores(name, *(int(count[label]) for count in counts)) for label, name in enumerate(task.classes)
        )
    if task.kind in ("binary", "multiclass", "sequence-labelling"):
        return per_class(pair.targets, pair.answer.argmax(-1), task.classes)
    return ()


def figures_of(task: Task, pair: Scored, classes: Sequence[ClassScores]) -> list[Figure]:
    """Return the confusion matrix and the table of classes, or predictions against truth for values."""
    figures: list[Figure] = []
    if classes:
        ordered = sorted(classes, key=lambda one: one.f1.value if one.f1 else 2.0)
        figures.append(
            Table(
                title="Classes, worst first",
                columns=("class", "n", "precision", "recall", "F1"),
                rows=tuple(_row(one) for one in ordered[: 2 * MOST_CLASSES]),
            )
        )
    if task.kind in ("binary", "multiclass", "sequence-labelling") and len(task.classes) <= MOST_CLASSES:
        counts = confusion_matrix(pair.targets, pair.answer.argmax(-1), len(task.classes))
        figures.append(
            Matrix(
                title="Which class is taken for which",
                row_label="true class",
                column_label="answer",
                rows=task.classes,
                columns=task.classes,
                values=tuple(tuple(float(count) for count in row) for row in counts),
            )
        )
    if task.kind == "regression":
        figures.append(_against_truth(task, pair))
    return figures


def worst_samples(subject: Subject, pair: Scored) -> tuple[Tile, ...]:
    """Return the samples of the test part that the network gets most wrong, worst first."""
    task, answers = subject.task, subject.answers("test")
    if task.kind in ("clustering", "generation"):
        return ()
    order, captions = _most_wrong(task, pair)
    spec = subject.splits.signature.inputs
    return tuple(tile(spec, answers.inputs[int(row)], captions[int(row)]) for row in order[:WORST])


def _most_wrong(task: Task, pair: Scored) -> tuple[np.ndarray, dict[int, str]]:
    targets, answer = pair.targets, pair.answer
    n = len(answer)
    if task.kind in ("binary", "multiclass"):
        said, confidence = answer.argmax(1), answer.max(1)
        wrong = np.flatnonzero(said != targets)
        order = wrong[np.argsort(-confidence[wrong], kind="stable")][:WORST]
        captions = {
            int(row): f"is {task.classes[targets[row]]}, said {task.classes[said[row]]} ({percent(confidence[row], 0)})"
            for row in order
        }
        return order, captions
    if task.kind == "sequence-labelling":
        kept = targets != IGNORED
        misses = ((answer.argmax(-1) != targets) & kept).sum(1)
        order = _largest(misses)
        return order, {int(row): f"{misses[row]} of {kept[row].sum()} steps wrong" for row in order}
    if task.kind == "multilabel":
        misses = ((answer > 0.5) ^ (targets > 0.5)).sum(1)
        order = _largest(misses)
        return order, {int(row): f"{misses[row]} of {answer.shape[1]} labels wrong" for row in order}
    squared = ((targets.reshape(n, -1).astype(float) - answer.reshape(n, -1)) ** 2).mean(1)
    order = _largest(squared)
    if task.kind == "regression" and answer.shape[1] == 1:
        unit = f" {task.unit}" if task.unit else ""
        return order, {int(row): f"is {targets[row, 0]:.4g}, said {answer[row, 0]:.4g}{unit}" for row in order}
    return order, {int(row): f"mean squared error {squared[row]:.3g}" for row in order}


def _largest(values: np.ndarray) -> np.ndarray:
    order = np.argsort(-values, kind="stable")[:WORST]
    kept: np.ndarray = order[values[order] > 0]
    return kept


def _row(one: ClassScores) -> tuple[str, ...]:
    return (one.name, f"{one.n:,}", *(_cell(estimate) for estimate in (one.precision, one.recall, one.f1)))


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{percent(estimate.value)} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def _against_truth(task: Task, pair: Scored) -> Curves:
    rows = np.linspace(0, len(pair.answer) - 1, min(len(pair.answer), MOST_POINTS)).astype(int)
    names = task.targets or tuple(f"target {k + 1}" for k in range(pair.answer.shape[1]))
    series = tuple(
        Series(
            name=name,
            x=tuple(float(value) for value in pair.answer[rows, column]),
            y=tuple(float(value) for value in pair.targets[rows, column]),
            style="points",
        )
        for column, name in list(enumerate(names))[:4]
    )
    unit = f" ({task.unit})" if task.unit else ""
    return Curves(
        title="Truth against answer", x_label=f"answer{unit}", y_label=f"truth{unit}", series=series, diagonal=True
    )
