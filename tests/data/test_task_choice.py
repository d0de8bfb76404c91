import numpy as np
import pandas as pd
import pytest

from equipoise.data.samples import IGNORED
from equipoise.data.task import choose_task, unlabelled


@pytest.mark.parametrize(
    ("values", "kind", "reason"),
    [
        (["yes", "no"] * 20, "binary", "2 different names"),
        ([True, False] * 20, "binary", "2 different names"),
        (["a", "b", "c"] * 20, "multiclass", "3 different names"),
        (list(range(5)) * 10, "multiclass", "only 5 whole numbers in 50 rows"),
        ([0.0, 1.0] * 20, "binary", "two values"),
        ([0.5, 1.5] * 20, "regression", "fractions"),
        (list(range(100)), "regression", "100 different whole numbers"),
        (list(range(10)) * 2, "regression", "10 different whole numbers"),
        (list(range(21)) * 50, "regression", "21 different whole numbers"),
    ],
)
def test_the_kind_of_task_follows_from_the_values(values, kind, reason):
    task, encoded, why = choose_task(values)
    assert task.kind == kind
    assert reason in why
    assert encoded.shape == ((len(values), 1) if kind == "regression" else (len(values),))
    assert encoded.dtype == (np.float32 if kind == "regression" else np.int64)


def test_codes_lead_back_to_the_values():
    words = np.random.default_rng(0).choice(["pear", "apple", "fig"], 60)
    task, encoded, _ = choose_task(words)
    assert task.classes == ("apple", "fig", "pear")
    assert [task.classes[code] for code in encoded] == list(words)


def test_class_order_is_numeric_or_declared():
    assert choose_task(["10", "9", "2"] * 10)[0].classes == ("2", "9", "10")
    assert choose_task([3.0, 1.0, 2.0] * 10)[0].classes == ("1", "2", "3")
    declared = pd.Categorical(["low", "high"] * 10, categories=["low", "high"])
    assert choose_task(pd.Series(declared))[0].classes == ("low", "high")
    assert choose_task([True, False] * 10)[0].classes == ("False", "True")


def test_what_was_asked_for_goes_first():
    assert choose_task([1, 2] * 20, kind="regression")[0].kind == "regression"
    assert choose_task([1, 2] * 20, kind="multiclass")[0].kind == "multiclass"
    assert choose_task(["1.5", "2.5", "3.5"] * 3, kind="regression")[1][:, 0].tolist() == [1.5, 2.5, 3.5] * 3


def test_several_columns():
    generator = np.random.default_rng(0)
    flags = generator.integers(0, 2, (50, 3))
    task, encoded, _ = choose_task(
        pd.DataFrame(flags, columns=["rain", "wind", "hail"]), names=("rain", "wind", "hail")
    )
    assert (task.kind, task.classes) == ("multilabel", ("rain", "wind", "hail"))
    assert (encoded == flags).all()
    assert encoded.dtype == np.float32
    one_hot = np.eye(4, dtype=int)[generator.integers(0, 4, 50)]
    task, encoded, reason = choose_task(one_hot)
    assert (task.kind, len(task.classes)) == ("multiclass", 4)
    assert "exactly one 1" in reason
    assert (encoded == one_hot.argmax(1)).all()
    assert choose_task(one_hot, kind="multilabel")[0].kind == "multilabel"
    task, encoded, _ = choose_task(generator.standard_normal((50, 2)), names=("x", "y"))
    assert (task.kind, task.targets, encoded.shape) == ("regression", ("x", "y"), (50, 2))


def test_one_class_a_step_with_padding():
    labels = np.array([["N", "V", "N"], ["V", "N", "V"]] * 10)
    task, encoded, _ = choose_task(labels, steps=3)
    assert (task.kind, task.classes) == ("sequence-labelling", ("N", "V"))
    assert encoded.tolist() == [[0, 1, 0], [1, 0, 1]] * 10
    padded = np.array([[1, 2, IGNORED], [2, 1, 1]] * 10)
    task, encoded, _ = choose_task(padded, kind="sequence-labelling")
    assert encoded.tolist() == [[0, 1, IGNORED], [1, 0, 0]] * 10


def test_without_labels():
    task, encoded, _ = unlabelled(5, "clustering", 3)
    assert task.clusters == 3
    assert encoded.tolist() == [-1] * 5
    task, encoded, _ = unlabelled(5, "reconstruction")
    assert encoded.shape == (5, 0)
    task, encoded, _ = choose_task(["a", "b", "c"] * 4, kind="clustering")
    assert task.clusters == 3
    assert encoded.tolist() == [0, 1, 2] * 4


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (["a"] * 20, {}, "got the constant target .* one class only.; expected at least two"),
        ([1.5] * 20, {}, "got the constant target .* expected at least two different values"),
        ([1.5] * 20, {"kind": "regression"}, "got the constant target .* expected"),
        ([1.0, np.nan] * 10, {}, "got 10 missing targets .* expected a target for each"),
        ([1.0, np.inf] * 10, {}, "got infinite targets .* expected finite"),
        ([f"user {i}" for i in range(3000)], {}, "got 3,000 classes .* expected at most 1,000"),
        (
            pd.Series(pd.Categorical(["a", "b"] * 10, categories=["a", "b", "c"])),
            {},
            "no rows for the declared classes 'c' .* expected rows",
        ),
        (["a", "b", "c"] * 10, {"kind": "binary"}, "got 3 classes .* binary task; expected 2"),
        (["low", "2.5"] * 10, {"kind": "regression"}, "got 10 targets .* no numbers, such as 'low'; expected numbers"),
        (
            [*map(str, np.arange(40) / 3), "unknown"],
            {},
            "got 1 of 41 targets .* no numbers, such as 'unknown'; expected one type",
        ),
        (np.array([1, "1"] * 10, dtype=object), {}, "got mixed types .* expected one type"),
        (pd.Series(pd.date_range("2024", periods=20)), {}, "got dates as target .* expected numbers or classes"),
        (np.zeros((10, 2, 2)), {}, "got targets of shape .10, 2, 2.; expected"),
        (np.array([[0, 1], [0, 0]] * 10), {"names": ("a", "b")}, "got constant labels a; expected 0 and 1"),
        (np.array([[0, 2], [1, 0]] * 10), {"kind": "multilabel"}, "other values than 0 and 1; expected only these"),
        (
            np.array([[0, 1], [1, 2]] * 10),
            {"kind": "sequence-labelling", "steps": 5},
            "got targets for 2 steps .* expected one target a step",
        ),
        (np.array([[1, 1], [1, 1]] * 10), {"kind": "sequence-labelling"}, "one class only; expected"),
        (np.array([[0.1, 1], [1, 2]] * 10), {"kind": "multiclass"}, "got 2 targets .* expected one"),
        (["a", "b"] * 10, {"kind": "multilabel"}, "got one target .* expected several columns"),
        ([1e39, 0.5] * 10, {}, "got targets up to 1e.39; expected at most 3.4e.38"),
    ],
)
def test_targets_that_cannot_be_learned_say_why(values, options, message):
    with pytest.raises(ValueError, match=message):
        choose_task(values, **options)


def test_missing_targets_need_a_kind_that_does_without():
    with pytest.raises(ValueError, match="got no targets for binary; expected some"):
        unlabelled(5, "binary")
    with pytest.raises(ValueError, match="got clustering with 0 known clusters; expected at least 2"):
        unlabelled(5, "clustering")
