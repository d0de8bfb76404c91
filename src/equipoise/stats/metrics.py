"""Scores of every task, per-class figures, and the per-sample losses behind calibration."""

from dataclasses import dataclass

import numpy as np

from equipoise.core.estimate import Estimate
from equipoise.core.signature import Task
from equipoise.stats.intervals import bootstrap, mean, proportion
from equipoise.stats.one_thread import one_thread

IGNORED = -100
"""Target of a padded step in sequence labelling."""

_NAMES = {
    "binary": "accuracy",
    "multiclass": "accuracy",
    "multilabel": "micro F1",
    "regression": "R2",
    "sequence-labelling": "token accuracy",
    "reconstruction": "explained variance",
    "clustering": "silhouette",
    "generation": "indistinguishability",
}


def score_name(task: Task) -> str:
    """Return the name of the score that `score` computes for a task."""
    return _NAMES[task.kind]


def score(task: Task, targets: np.ndarray, answer: np.ndarray) -> float:
    """Return the task's usual score; higher is better, and 1 is perfect.

    Args:
        task: What is predicted.
        targets: As in `data.samples.Samples`. For reconstruction and generation the real samples themselves (n, ...)
            on the scale of `answer`; for clustering the points (n, features) that distances are measured between, or
            anything one-dimensional to measure them between the soft assignments.
        answer: As `Network.answer` gives it: probabilities (n, ..., classes) or values.

    Raises:
        ValueError: Shapes that do not belong together.
    """
    targets, answer = np.asarray(targets), np.asarray(answer)
    _check(task, targets, answer)
    if task.kind in ("binary", "multiclass"):
        return float((answer.argmax(-1) == targets).mean())
    if task.kind == "clustering":
        return float(_silhouettes(targets, answer).mean())
    if task.kind == "generation":
        return float(_indistinguishable(targets, answer))
    if task.kind == "regression":
        return r_squared(targets, answer)
    return _ratio(*_ratio_parts(task, targets, answer))


def score_estimate(task: Task, targets: np.ndarray, answer: np.ndarray) -> Estimate:
    """Return `score` with its interval: Wilson for accuracy, a bootstrap over samples (whole sequences) otherwise."""
    targets, answer = np.asarray(targets), np.asarray(answer)
    _check(task, targets, answer)
    if task.kind in ("binary", "multiclass"):
        return proportion(int((answer.argmax(-1) == targets).sum()), len(targets))
    if task.kind == "clustering":
        return mean(_silhouettes(targets, answer))
    if task.kind == "generation":
        return indistinguishability(targets, answer)
    if task.kind == "regression":
        return bootstrap(r_squared, _columns(targets), _columns(answer))
    return bootstrap(_ratio, *_ratio_parts(task, targets, answer))


def r_squared(targets: np.ndarray, answer: np.ndarray) -> float:
    """Return the coefficient of determination, averaged over target columns; a constant column counts 0.

    1 is perfect, 0 is as good as the mean of these targets, below 0 is worse than it.
    """
    t, a = _columns(targets).astype(np.float64), _columns(answer).astype(np.float64)
    residual = ((t - a) ** 2).sum(0)
    total = ((t - t.mean(0)) ** 2).sum(0)
    return float(np.where(total > 0, 1 - residual / np.where(total > 0, total, 1.0), 0.0).mean())


def confusion_matrix(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return counts (classes, classes): rows are true classes, columns predicted ones; `IGNORED` targets left out."""
    t, p = np.asarray(targets).ravel(), np.asarray(predicted).ravel()
    kept = t != IGNORED
    counts: np.ndarray = np.bincount(t[kept] * classes + p[kept], minlength=classes * classes)
    return counts.reshape(classes, classes)


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of one class; an estimate is None where its denominator is 0.

    Attributes:
        name: The class.
        n: True samples of the class.
        precision: Share of the samples called this class that are of it.
        recall: Share of the class's samples that are called it.
        f1: Harmonic mean of the two.
    """

    name: str
    n: int
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None


def per_class(targets: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...]) -> tuple[ClassScores, ...]:
    """Return precision, recall and F1 of each class, with intervals.

    F1 is 2J / (1 + J) of the share J of true positives among all samples that are of the class or called it, so its
    interval is the transformed Wilson interval of J.

    Args:
        targets: True class indices, any shape; `IGNORED` is left out.
        predicted: Predicted class indices, the same shape. For one label of a multilabel task give 0 and 1.
        classes: Class names in index order.
    """
    counts = confusion_matrix(targets, predicted, len(classes))
    scores: list[ClassScores] = []
    for index, name in enumerate(classes):
        hit, true, called = int(counts[index, index]), int(counts[index].sum()), int(counts[:, index].sum())
        scores.append(class_scores(name, hit, true, called))
    return tuple(scores)


def class_scores(name: str, hit: int, true: int, called: int) -> ClassScores:
    """Return the scores of one class from its true positives, its true samples and the samples called it."""
    union = true + called - hit
    return ClassScores(
        name=name,
        n=true,
        precision=proportion(hit, called) if called else None,
        recall=proportion(hit, true) if true else None,
        f1=_f1(proportion(hit, union)) if union else None,
    )


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, *, bins: int = 15) -> float:
    """Return the expected calibration error over bins of equal mass, in [0, 1].

    The mean over bins of |accuracy - confidence|, weighted by the bins' sizes (Guo et al., ICML 2017), with bins of
    equal mass (Nguyen and O'Connor, EMNLP 2015). A finite sample biases it upward: 0 is out of reach even for perfect
    probabilities, so compare it with its value under perfect calibration.

    Args:
        confidence: Predicted probability of what was predicted (n,), in [0, 1].
        correct: Whether it was right (n,).
        bins: Number of bins, at least 1.
    """
    gaps, sizes = _bin_gaps(np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64), bins)
    return float((np.abs(gaps) * sizes).sum() / sizes.sum())


def reliability(confidence: np.ndarray, correct: np.ndarray, *, bins: int = 15) -> tuple[tuple[float, Estimate], ...]:
    """Return (mean confidence, accuracy with interval) of each bin of equal mass, by rising confidence."""
    c, r = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    parts = _bins(c, bins)
    return tuple((float(c[part].mean()), proportion(int(r[part].sum()), len(part))) for part in parts)


def brier(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return each sample's Brier score (n,): squared distance to the one-hot truth, in [0, 2] (Brier, 1950).

    Args:
        targets: Class indices (n,).
        probabilities: (n, classes).
    """
    one_hot = np.eye(probabilities.shape[1])[np.asarray(targets)]
    squared: np.ndarray = ((np.asarray(probabilities, dtype=np.float64) - one_hot) ** 2).sum(1)
    return squared


def negative_log_likelihood(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return each sample's negative log likelihood in nats (n,); probabilities below 1e-12 count as 1e-12.

    Args:
        targets: Class indices (n,), or 0 and 1 (n, labels) for multilabel, where labels are summed; sequence labelling
            (n, steps), where steps are averaged and `IGNORED` ones left out.
        probabilities: (n, classes), (n, labels) or (n, steps, classes).
    """
    t, p = np.asarray(targets), np.clip(np.asarray(probabilities, dtype=np.float64), 1e-12, 1.0)
    if p.ndim == 3:
        kept = t != IGNORED
        picked = -np.log(np.take_along_axis(p, np.where(kept, t, 0)[..., None], -1)[..., 0])
        return np.asarray((picked * kept).sum(1) / np.maximum(kept.sum(1), 1))
    if t.ndim == 2:
        complement = np.clip(1 - np.asarray(probabilities, dtype=np.float64), 1e-12, 1.0)
        return np.asarray(-(t * np.log(p) + (1 - t) * np.log(complement)).sum(1))
    return np.asarray(-np.log(p[np.arange(len(t)), t]))


def indistinguishability(real: np.ndarray, made: np.ndarray) -> Estimate:
    """Return how hard generated samples are to tell from real ones, 1 = impossible, 0 = always, with its interval.

    It is 1 - |2a - 1| of the accuracy a of a nearest-neighbour two-sample test (Lopez-Paz and Oquab, ICLR 2017), so
    copies of the real samples (a = 0) score as badly as samples far from them. The votes are taken as independent.

    Args:
        real: Real samples (n, ...).
        made: Generated samples (m, ...) of the same shape.
    """
    votes = _same_kind_votes(real, made)
    share = proportion(int(votes.sum()), len(votes))
    ends = [1 - abs(2 * one - 1) for one in (share.low, share.high)]
    value = 1 - abs(2 * share.value - 1)
    high = 1.0 if share.low <= 0.5 <= share.high else max(*ends, value)
    return Estimate(value=value, low=min(*ends, value), high=high, n=len(votes), method="Wilson")


def _check(task: Task, targets: np.ndarray, answer: np.ndarray) -> None:
    if len(answer) == 0 or (len(targets) != len(answer) and task.kind != "generation"):
        raise ValueError(
            f"got {len(targets)} targets and {len(answer)} answers; expected as many of each, at least 1. "
            "Score the answers against the targets of the same samples."
        )
    alike = {"multilabel", "reconstruction"}
    if task.kind in alike and targets.shape != answer.shape:
        raise ValueError(
            f"got targets {targets.shape} and answers {answer.shape}; expected one shape for {task.kind}. "
            "Give the real values on the scale of the answers."
        )
    if task.kind in ("binary", "multiclass") and (targets.ndim != 1 or answer.ndim != 2):
        raise ValueError(
            f"got targets {targets.shape} and answers {answer.shape}; expected (n,) and (n, classes) for {task.kind}. "
            "Give class indices and probabilities."
        )


def _ratio_parts(task: Task, targets: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return per-sample numerators and denominators whose ratio of sums is the score."""
    n = len(answer)
    if task.kind == "multilabel":
        called, true = answer.reshape(n, -1) > 0.5, targets.reshape(n, -1) > 0.5
        return 2.0 * (called & true).sum(1), (called.sum(1) + true.sum(1)).astype(np.float64)
    if task.kind == "sequence-labelling":
        kept = targets != IGNORED
        return ((answer.argmax(-1) == targets) & kept).sum(1).astype(np.float64), kept.sum(1).astype(np.float64)
    t, a = targets.reshape(n, -1).astype(np.float64), answer.reshape(n, -1).astype(np.float64)
    total = ((t - t.mean(0)) ** 2).sum(1)
    return total - ((t - a) ** 2).sum(1), total


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> float:
    total = float(denominator.sum())
    return float(numerator.sum()) / total if total > 0 else 0.0


def _columns(values: np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    return array.reshape(len(array), -1)


def _f1(jaccard: Estimate) -> Estimate:
    value, low, high = (2 * one / (1 + one) for one in (jaccard.value, jaccard.low, jaccard.high))
    return jaccard.replace(value=value, low=low, high=high)


def _bins(confidence: np.ndarray, bins: int) -> list[np.ndarray]:
    # A stable order by confidence keeps the bins the same wherever the code runs.
    order = np.argsort(confidence, kind="stable")
    return [part for part in np.array_split(order, min(bins, len(order))) if len(part)]


def _bin_gaps(confidence: np.ndarray, correct: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    parts = _bins(confidence, bins)
    gaps = np.array([correct[part].mean() - confidence[part].mean() for part in parts])
    return gaps, np.array([len(part) for part in parts], dtype=np.float64)


def _silhouettes(points: np.ndarray, answer: np.ndarray, limit: int = 2000) -> np.ndarray:
    """Return the silhouette of each of at most `limit` samples (Rousseeuw, 1987); zeros when one cluster holds all."""
    # Imported here since it takes a second and only clustering needs it.
    from sklearn.metrics import silhouette_samples

    space = _columns(points) if points.ndim > 1 and points.shape[1] > 0 else answer
    labels = answer.argmax(-1)[:limit]
    found = len(np.unique(labels))
    if not 2 <= found < len(labels):
        return np.zeros(len(labels))
    with one_thread():
        samples: np.ndarray = silhouette_samples(space[:limit], labels)
    return samples


def _same_kind_votes(real: np.ndarray, made: np.ndarray, limit: int = 1000) -> np.ndarray:
    """Return for each sample of the pool whether its nearest neighbour is of its own kind, real or made."""
    from sklearn.neighbors import NearestNeighbors

    a, b = _columns(real)[:limit], _columns(made)[:limit]
    if a.shape[1:] != b.shape[1:] or a.shape[1] == 0:
        raise ValueError(
            f"got real samples {real.shape} and made ones {made.shape}; expected samples of one shape. "
            "Give the real samples as targets and generated ones as answer."
        )
    size = min(len(a), len(b))
    pool = np.concatenate([a[:size], b[:size]])
    kinds = np.repeat([True, False], size)
    with one_thread():
        neighbour = np.asarray(NearestNeighbors(n_neighbors=2).fit(pool).kneighbors(pool, return_distance=False))
    nearest = np.where(neighbour[:, 0] == np.arange(2 * size), neighbour[:, 1], neighbour[:, 0])
    votes: np.ndarray = kinds[nearest] == kinds
    return votes


def _indistinguishable(real: np.ndarray, made: np.ndarray) -> float:
    """Return 1 - |2a - 1| of the 1-NN two-sample accuracy a (Lopez-Paz and Oquab, ICLR 2017)."""
    return 1 - abs(2 * float(_same_kind_votes(real, made).mean()) - 1)
