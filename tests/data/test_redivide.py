"""Other training parts out of the same samples."""

import numpy as np
import pytest
import torch

from equipoise.data.redivide import can_redivide, redivided, stratified_order, with_rows
from equipoise.testing import best_classifier

SPLITS = best_classifier(n=200, shares=(0.6, 0.3, 0.1)).splits


def everything(splits) -> np.ndarray:
    parts = [part.batch(torch.arange(len(part)))[0].numpy() for part in (splits.train, splits.validation)]
    return np.unique(np.concatenate(parts), axis=0)


def test_every_beginning_of_the_order_holds_each_class_by_its_share() -> None:
    labels = np.repeat([0, 1, 2], [120, 60, 20])
    order = stratified_order(200, np.random.default_rng(0), labels)
    assert sorted(order) == list(range(200))
    for size in (25, 50, 100):
        counts = np.bincount(labels[order[:size]], minlength=3)
        assert np.abs(counts - size * np.array([0.6, 0.3, 0.1])).max() <= 2


def test_a_new_division_mixes_two_parts_and_leaves_the_test_part() -> None:
    labels = np.concatenate([SPLITS.train.targets.numpy(), SPLITS.validation.targets.numpy()])
    made = redivided(SPLITS, 3, labels)
    assert made.test is SPLITS.test
    assert (len(made.train), len(made.validation)) == (len(SPLITS.train), len(SPLITS.validation))
    assert np.array_equal(everything(made), everything(SPLITS))
    assert not torch.equal(made.validation.inputs, SPLITS.validation.inputs)
    assert made.digest != SPLITS.digest
    # Rows still say where a sample came from.
    source = {int(row): inputs for row, inputs in zip(SPLITS.rows["train"], SPLITS.train.inputs, strict=True)}
    source |= {int(row): one for row, one in zip(SPLITS.rows["validation"], SPLITS.validation.inputs, strict=True)}
    assert all(torch.equal(source[int(row)], x) for row, x in zip(made.rows["train"], made.train.inputs, strict=True))
    again = redivided(SPLITS, 3, labels)
    assert torch.equal(again.train.inputs, made.train.inputs)


def test_new_numbers_are_fitted_on_the_new_training_part() -> None:
    made = redivided(SPLITS, 5)
    assert made.preprocessing.inputs.mean == pytest.approx(made.train.inputs.mean(0).tolist(), abs=1e-5)


def test_rows_may_come_twice_and_keep_the_numbers() -> None:
    made = with_rows(SPLITS, np.array([3, 3, 7]), "three of them")
    assert torch.equal(made.train.inputs, SPLITS.train.inputs[[3, 3, 7]])
    assert made.rows["train"].tolist() == [3, 3, 7]
    assert made.preprocessing is SPLITS.preprocessing
    assert made.digest != with_rows(SPLITS, np.array([3, 7]), "two of them").digest


def test_groups_are_never_mixed() -> None:
    grouped = best_classifier(n=100).splits
    grouped.groups["train"] = np.arange(60)
    assert can_redivide(SPLITS)
    assert not can_redivide(grouped)
