"""The honest score of a training whose loss may be anything."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score
from torch import nn
from torch.nn import functional

from equipoise.examine.diagnosis.scoring import class_weights, gain, score, threshold
from equipoise.examine.probes.task import task_of

GENERATOR = np.random.default_rng(0)


def outputs(n, columns):
    return torch.as_tensor(GENERATOR.normal(size=(n, columns)))


@pytest.mark.parametrize(
    ("targets", "columns", "kind"),
    [
        (torch.arange(60) % 4, 4, "classes"),
        (torch.nn.functional.one_hot(torch.arange(60) % 4).float(), 4, "one-hot"),
        ((torch.arange(60) % 2).float(), 1, "binary"),
        ((torch.arange(60) % 2).float().reshape(-1, 1), 1, "binary"),
        ((torch.arange(60) % 2), 2, "classes"),
        (torch.as_tensor(GENERATOR.integers(0, 2, (60, 5))).float(), 5, "multilabel"),
        (torch.as_tensor(GENERATOR.normal(size=60)), 1, "values"),
        (torch.arange(60).float() * 7, 1, "values"),
        (torch.as_tensor(GENERATOR.normal(size=(60, 3))), 3, "values"),
    ],
)
def test_targets_say_what_is_asked_for(targets, columns, kind):
    assert task_of(outputs(10, columns), targets).kind == kind


def test_classes_score_as_a_reference_does():
    labels = torch.as_tensor(GENERATOR.integers(0, 3, 200))
    out = outputs(200, 3)
    found = score(task_of(out, labels), out, labels, 0.5)
    answers = out.argmax(1).numpy()
    assert found.value == pytest.approx(accuracy_score(labels, answers))
    assert found.balanced == pytest.approx(balanced_accuracy_score(labels, answers))
    assert found.chance == pytest.approx(np.bincount(labels).max() / 200)


def test_regression_scores_as_a_reference_does():
    wanted = torch.as_tensor(GENERATOR.normal(size=(200, 2)) * [1, 30])
    out = wanted + torch.as_tensor(GENERATOR.normal(size=(200, 2))) * torch.tensor([0.5, 10.0])
    found = score(task_of(out, wanted), out, wanted, 0.5)
    assert found.value == pytest.approx(r2_score(wanted, out), abs=1e-9)
    assert found.chance == 0


def test_constant_answers_have_no_skill_and_infinite_ones_are_wrong():
    labels = torch.arange(90) % 3
    goal = task_of(outputs(90, 3), labels)
    assert score(goal, torch.ones(90, 3), labels, 0.5).skill <= 0
    broken = torch.full((90, 3), torch.nan)
    assert score(goal, broken, labels, 0.5).value == 0


def test_a_binary_answer_is_cut_where_its_loss_is_undecided():
    targets, zeros = (torch.arange(8) % 2).float().reshape(-1, 1), torch.zeros(8, 1)
    task = task_of(zeros, targets)
    assert threshold(functional.binary_cross_entropy_with_logits, zeros, targets, task) == pytest.approx(0.0, abs=1e-6)
    assert threshold(nn.MSELoss(), zeros, targets, task) == pytest.approx(0.5)

    def clipped(p, y):
        p = p.clamp(1e-7, 1 - 1e-7)
        return -(y * p.log() + (1 - y) * (1 - p).log()).mean()

    assert threshold(clipped, zeros, targets, task) == pytest.approx(0.5, abs=0.01)


def test_a_gain_counts_in_standard_errors():
    labels = torch.arange(400) % 2
    goal = task_of(outputs(400, 2), labels)
    right = functional.one_hot(labels).double()
    worse = right.clone()
    worse[:40] = 1 - worse[:40]
    before, after = score(goal, worse, labels, 0.5), score(goal, right, labels, 0.5)
    mean, errors = gain(before, after)
    difference = after.quality - before.quality
    assert mean == pytest.approx(0.1)
    assert errors == pytest.approx(0.1 / (np.std(difference, ddof=1) / 20))
    assert gain(after, after) == (0.0, 0.0)


@pytest.mark.parametrize("weights", [[1.0, 9.0], [2.0, 1.0, 7.0]])
@pytest.mark.parametrize("one_hot", [False, True])
def test_classes_count_as_much_as_the_loss_says(weights, one_hot):
    classes = len(weights)
    labels = torch.as_tensor(GENERATOR.integers(0, classes, 80))
    made = outputs(80, classes)
    targets = functional.one_hot(labels).double() if one_hot else labels
    loss = nn.CrossEntropyLoss(weight=torch.tensor(weights).double())
    task = task_of(made, targets)
    found = class_weights(loss, made, targets, task)
    assert found is not None
    assert found / found.mean() == pytest.approx(torch.tensor(weights).double() / np.mean(weights))
    seen = score(task, made, targets, 0.0, found)
    each = np.array(weights)[labels.numpy()]
    assert seen.value == pytest.approx(accuracy_score(labels, made.argmax(1), sample_weight=each))
    constant = [accuracy_score(labels, np.full(80, one), sample_weight=each) for one in range(classes)]
    assert seen.chance == pytest.approx(max(constant))


@pytest.mark.parametrize(
    "loss",
    [nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1), nn.NLLLoss(), nn.MultiMarginLoss()],
)
def test_most_losses_weigh_classes_alike(loss):
    labels = torch.arange(60) % 3
    made = outputs(60, 3).log_softmax(1)
    assert class_weights(loss, made, labels, task_of(made, labels)) is None
