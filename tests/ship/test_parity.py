"""The comparison itself, on answers made by hand."""

import pytest
import torch

from equipoise.core.signature import Task
from equipoise.ship.parity import (
    FLOAT32_TOLERANCE,
    RELATIVE_TOLERANCE,
    agreement,
    allowed_difference,
    answer_in_batches,
    differences,
)

CLASSES = Task(kind="multiclass", classes=("a", "b"))
LABELS = Task(kind="multilabel", classes=("a", "b"))
STEPS = Task(kind="sequence-labelling", classes=("a", "b"))
VALUES = Task(kind="regression", targets=("y",))
NAN, INF = float("nan"), float("inf")


def test_differences_are_the_largest_of_each_sample():
    expected = torch.tensor([[0.0, 1.0], [NAN, 2.0], [NAN, 1.0], [INF, 0.0], [INF, 0.0]])
    got = torch.tensor([[0.5, 1.25], [NAN, 2.0], [0.0, 1.0], [INF, 0.0], [-INF, 0.0]])
    assert differences(expected, got).tolist() == [0.5, 0.0, INF, 0.0, INF]


def test_another_shape_never_agrees():
    expected, got = torch.zeros(4, 2), torch.zeros(4, 3)
    assert differences(expected, got).tolist() == [INF] * 4
    assert agreement(expected, got, CLASSES, 1.0).value == 0


def test_agreement_counts_samples_by_what_is_predicted():
    expected = torch.tensor([[0.6, 0.4], [0.2, 0.8], [0.9, 0.1], [0.3, 0.7]])
    got = torch.tensor([[0.7, 0.3], [0.6, 0.4], [0.8, 0.2], [0.1, 0.9]])
    found = agreement(expected, got, CLASSES, 0.0)
    assert (found.value, found.n, found.method) == (0.75, 4, "Wilson")
    labels = torch.tensor([[0.6, 0.6], [0.6, 0.4]])
    assert agreement(labels, torch.tensor([[0.9, 0.4], [0.9, 0.4]]), LABELS, 0.0).value == 0.5
    steps = torch.stack([expected, expected])
    assert agreement(steps, torch.stack([expected, got]), STEPS, 0.0).value == 0.5
    values = torch.tensor([[1.0], [2.0]])
    assert agreement(values, torch.tensor([[1.05], [2.5]]), VALUES, 0.1).value == 0.5


def test_tolerance_follows_the_unit():
    assert allowed_difference(torch.rand(5, 2), CLASSES) == RELATIVE_TOLERANCE
    prices = torch.tensor([[100_000.0], [300_000.0]])
    assert allowed_difference(prices, VALUES) == pytest.approx(
        RELATIVE_TOLERANCE * 200_000 + FLOAT32_TOLERANCE * 300_000
    )
    assert allowed_difference(torch.full((2, 1), NAN), VALUES) == RELATIVE_TOLERANCE


@pytest.mark.parametrize("n", [1, 2, 65, 66, 130])
def test_every_sample_is_answered_once_and_batch_sizes_vary(n):
    sizes = []

    def answer(chunk):
        sizes.append(len(chunk))
        return chunk * 2

    inputs = torch.arange(n).float().unsqueeze(1)
    assert torch.equal(answer_in_batches(answer, inputs), inputs * 2)
    assert sizes[0] == 1
    assert sum(sizes) == n
