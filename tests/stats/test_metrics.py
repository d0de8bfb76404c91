"""Scores against scikit-learn and simulated truth."""

import numpy as np
import pytest
from sklearn import metrics as reference

from equipoise.core.signature import Task
from equipoise.stats import metrics

RNG = np.random.default_rng(0)
CLASSES = ("a", "b", "c")


def _classified(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    return RNG.integers(0, 3, n), RNG.dirichlet(np.ones(3), n)


def test_accuracy_and_its_interval() -> None:
    targets, answer = _classified()
    task = Task(kind="multiclass", classes=CLASSES)
    want = reference.accuracy_score(targets, answer.argmax(1))
    assert metrics.score(task, targets, answer) == pytest.approx(want)
    assert metrics.score_estimate(task, targets, answer).method == "Wilson"


def test_micro_f1_of_labels() -> None:
    targets, answer = RNG.integers(0, 2, (80, 4)).astype(np.float32), RNG.random((80, 4))
    task = Task(kind="multilabel", classes=("p", "q", "r", "s"))
    want = reference.f1_score(targets, answer > 0.5, average="micro")
    assert metrics.score(task, targets, answer) == pytest.approx(want)
    got = metrics.score_estimate(task, targets, answer)
    assert got.low < got.value < got.high


@pytest.mark.parametrize("columns", [1, 3])
def test_r_squared(columns: int) -> None:
    targets = RNG.normal(size=(60, columns))
    answer = targets + RNG.normal(0, 0.5, size=targets.shape)
    task = Task(kind="regression", targets=tuple("xyz"[:columns]))
    assert metrics.score(task, targets, answer) == pytest.approx(reference.r2_score(targets, answer))
    got = metrics.score_estimate(task, targets, answer)
    assert got.low < got.value < got.high


def test_a_constant_target_scores_nothing_and_breaks_nothing() -> None:
    assert metrics.r_squared(np.ones((5, 1)), np.zeros((5, 1))) == 0.0


def test_token_accuracy_leaves_padding_out() -> None:
    targets = np.array([[0, 1, metrics.IGNORED], [2, metrics.IGNORED, metrics.IGNORED]])
    answer = np.eye(3)[np.array([[0, 0, 0], [2, 2, 2]])]
    task = Task(kind="sequence-labelling", classes=CLASSES)
    assert metrics.score(task, targets, answer) == pytest.approx(2 / 3)
    assert metrics.score_estimate(task, np.tile(targets, (10, 1)), np.tile(answer, (10, 1, 1))).n == 20


def test_explained_variance_of_a_reconstruction() -> None:
    real = RNG.normal(size=(50, 2, 3))
    made = real + RNG.normal(0, 0.3, size=real.shape)
    flat, other = real.reshape(50, -1), made.reshape(50, -1)
    want = 1 - ((flat - other) ** 2).sum() / ((flat - flat.mean(0)) ** 2).sum()
    assert metrics.score(Task(kind="reconstruction"), real, made) == pytest.approx(want)


def test_silhouette_in_the_space_that_was_given() -> None:
    points = np.concatenate([RNG.normal(0, 1, (30, 2)), RNG.normal(5, 1, (30, 2))])
    labels = np.repeat([0, 1], 30)
    task = Task(kind="clustering", clusters=2)
    want = reference.silhouette_score(points, labels)
    assert metrics.score(task, points, np.eye(2)[labels]) == pytest.approx(want)
    assert metrics.score(task, np.full(60, -1), np.eye(2)[labels]) == pytest.approx(1.0)
    assert metrics.score(task, points, np.eye(2)[np.zeros(60, dtype=int)]) == 0.0


def test_generated_samples_are_told_from_real_ones() -> None:
    task = Task(kind="generation")
    real, alike, other = RNG.normal(size=(300, 3)), RNG.normal(size=(300, 3)), RNG.normal(6, 1, (300, 3))
    assert metrics.score(task, real, alike) > 0.85
    assert metrics.score(task, real, other) == 0.0
    assert metrics.score(task, real, real + 1e-9) < 0.1
    got = metrics.score_estimate(task, real, alike)
    assert got.low <= got.value <= got.high


def test_per_class_matches_sklearn_and_covers() -> None:
    targets, answer = _classified(150)
    predicted = answer.argmax(1)
    scores = metrics.per_class(targets, predicted, CLASSES)
    precision, recall, f1, n = reference.precision_recall_fscore_support(targets, predicted)
    for index, one in enumerate(scores):
        assert (one.precision.value, one.recall.value, one.f1.value) == pytest.approx(
            (precision[index], recall[index], f1[index])
        )
        assert one.n == n[index]
    assert (metrics.confusion_matrix(targets, predicted, 3) == reference.confusion_matrix(targets, predicted)).all()


def test_f1_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    table = np.array([0.1, 0.05, 0.08, 0.77])  # true positive, false positive, false negative, neither
    truth = 2 * 0.1 / (2 * 0.1 + 0.05 + 0.08)
    inside = 0
    for _ in range(600):
        hit, false, missed, _rest = rng.multinomial(200, table)
        one = metrics.class_scores("c", hit, hit + missed, hit + false)
        inside += one.f1.low <= truth <= one.f1.high
    assert 0.93 <= inside / 600 <= 0.98


def test_a_class_never_seen_or_called_has_no_estimate() -> None:
    one = metrics.per_class(np.array([0, 0]), np.array([0, 0]), ("a", "b"))[1]
    assert (one.n, one.precision, one.recall, one.f1) == (0, None, None, None)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.6, 0.7, 0.8, 0.9])
    correct = np.array([True, False, True, True])
    # Two bins of two: |0.5 - 0.65| and |1.0 - 0.85|, equal weights.
    assert metrics.expected_calibration_error(confidence, correct, bins=2) == pytest.approx(0.15)
    assert [round(x, 3) for x, _ in metrics.reliability(confidence, correct, bins=2)] == [0.65, 0.85]
    assert metrics.expected_calibration_error(confidence[:1], correct[:1]) == pytest.approx(0.4)


def test_losses_match_sklearn() -> None:
    targets, answer = _classified(90)
    assert metrics.negative_log_likelihood(targets, answer).mean() == pytest.approx(
        reference.log_loss(targets, answer, labels=[0, 1, 2])
    )
    binary, p = RNG.integers(0, 2, 40), RNG.random(40)
    both = np.stack([1 - p, p], 1)
    assert metrics.brier(binary, both).mean() / 2 == pytest.approx(reference.brier_score_loss(binary, p))
    labels = RNG.integers(0, 2, (10, 2))
    got = metrics.negative_log_likelihood(labels, np.full((10, 2), 0.5))
    assert got == pytest.approx(np.full(10, 2 * np.log(2)))
    steps = np.array([[0, metrics.IGNORED]])
    assert metrics.negative_log_likelihood(steps, np.full((1, 2, 2), 0.25)) == pytest.approx([np.log(4)])


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    task = Task(kind="binary", classes=("no", "yes"))
    with pytest.raises(ValueError, match="got 3 targets and 2 answers"):
        metrics.score(task, np.zeros(3), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"expected \(n,\) and \(n, classes\)"):
        metrics.score(task, np.zeros((2, 1)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="expected one shape"):
        metrics.score(Task(kind="reconstruction"), np.zeros((2, 0)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="expected samples of one shape"):
        metrics.score(Task(kind="generation"), np.zeros((2, 0)), np.zeros((2, 3)))


@pytest.mark.parametrize("kind", list(metrics._NAMES))
def test_every_kind_of_task_has_a_score(kind: str) -> None:
    assert metrics.score_name(Task(kind=kind, classes=CLASSES))
