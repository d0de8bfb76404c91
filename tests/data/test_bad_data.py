"""Bad inputs, each with the words its message must hold: what came, what was expected and the thing it is about."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset

from equipoise.core.data_plan import ArrayFile, Split, TableData, TextData
from equipoise.data.decode import decode
from equipoise.data.given import splits_from
from equipoise.data.load import load
from equipoise.data.vocabulary import train_tokenizer

GOOD = "x,colour,y\n" + "".join(f"{i * 0.5},{'red' if i % 3 else 'blue'},{'a' if i % 2 else 'b'}\n" for i in range(30))


def table(tmp_path, content, name="t.csv", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load(TableData(path=str(path), **options), 0)


def npz(tmp_path, arrays, **options):
    np.savez(tmp_path / "a.npz", **arrays)
    return load(ArrayFile(path=str(tmp_path / "a.npz"), **options), 0)


def text(tmp_path, content, name="t.csv", **options):
    (tmp_path / name).write_text(content)
    return load(TextData(path=str(tmp_path / name), **options), 0)


def folder(tmp_path, files):
    for name, content in files.items():
        path = tmp_path / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return load(TextData(path=str(tmp_path / "texts")), 0)


def rows(cells):
    return "x,y\n" + "".join(f"{x},{y}\n" for x, y in cells)


def ones(*shape):
    return np.random.default_rng(0).random(shape)


HALF = np.arange(30) % 2


class Endless(IterableDataset):
    """A dataset without positions."""

    def __iter__(self):
        return iter([(torch.zeros(2), 0)])


class Ragged(Dataset):
    """Items of different shapes."""

    def __len__(self):
        return 20

    def __getitem__(self, i):
        return torch.zeros(2 + i % 2), i % 2


class Broken(Dataset):
    """An item that fails."""

    def __len__(self):
        return 20

    def __getitem__(self, i):
        if i == 7:
            raise OSError("disk gone")
        return torch.zeros(2), i % 2


TABLES = {
    "file missing": (lambda t: load(TableData(path=str(t / "no.csv"), targets=("y",)), 0), "no.csv.*not there"),
    "file missing, a near one beside it": (
        lambda t: ((t / "hause.csv").write_text(GOOD), load(TableData(path=str(t / "house.csv")), 0)),
        "Did you mean 'hause.csv'",
    ),
    "a folder": (lambda t: load(TableData(path=str(t)), 0), "folder"),
    "ending": (lambda t: table(t, GOOD, "t.xlsx"), "ending '.xlsx'"),
    "empty": (lambda t: table(t, ""), "empty file"),
    "blank": (lambda t: table(t, "\n\n  \n"), "empty file"),
    "header only": (lambda t: table(t, "x,y\n"), "table without rows"),
    "latin-1": (lambda t: table(t, GOOD.replace("red", "réd").encode("latin-1")), "UTF-8"),
    "binary": (lambda t: table(t, b"PK\x03\x04\x00\x00rest"), "binary"),
    "no parquet": (lambda t: table(t, GOOD, "t.parquet"), "Parquet"),
    "ragged": (lambda t: table(t, GOOD + "1,2,3,4\n"), "different lengths.*line 32"),
    "all rows longer": (lambda t: table(t, "x,y\n" + "1,2,3\n" * 20), "different lengths.*3 cells"),
    "ragged far down": (lambda t: table(t, GOOD * 1 + "1,red,a\n" * 2000 + "1,2,3,4\n"), "different lengths"),
    "no header": (lambda t: table(t, "1,2\n3,4\n"), "first line of numbers"),
    "duplicate columns": (lambda t: table(t, GOOD.replace("colour", "x")), "duplicate column names 'x'"),
    "target wrong": (lambda t: table(t, GOOD, targets=("colur",)), "target 'colur'.*Did you mean 'colour'"),
    "target absent": (lambda t: table(t, GOOD.replace(",y", ",outcome")), "no target.*--target"),
    "target twice": (lambda t: table(t, GOOD, targets=("y", "y")), "target named twice"),
    "target missing everywhere": (lambda t: table(t, "x,y\n" + "1,\n2,\n" * 9), "without a target"),
    "ignore wrong": (lambda t: table(t, GOOD, ignore=("colr",)), "column 'colr' to ignore.*Did you mean 'colour'"),
    "one class": (lambda t: table(t, rows((i, "a") for i in range(20))), "constant target.*one class"),
    "constant number": (lambda t: table(t, rows((i, 1.5) for i in range(20))), "constant target"),
    "small class": (
        lambda t: table(t, rows((i, "rare" if i < 2 else i % 2) for i in range(30))),
        "fewer than 3 samples: rare .2.",
    ),
    "thousands of classes": (lambda t: table(t, rows((i, f"name {i}") for i in range(2500))), "2,500 classes"),
    "infinite target": (
        lambda t: table(t, rows((i, "inf" if i == 3 else i / 7) for i in range(30))),
        "infinite targets",
    ),
    "mixed target": (
        lambda t: table(t, rows((i, "gone" if i == 3 else i / 7) for i in range(60))),
        "no numbers, such as 'gone'",
    ),
    "infinite cell": (
        lambda t: table(t, rows(("inf" if i == 3 else i, i % 2) for i in range(30))),
        "infinite or too large cells.*'x'",
    ),
    "cell beyond float32": (
        lambda t: table(t, rows(("1e300" if i == 3 else i, i % 2) for i in range(30))),
        "too large cells.*'x'",
    ),
    "nothing to learn from": (
        lambda t: table(t, rows((5, i % 2) for i in range(30))),
        "none of which can be used.*constant",
    ),
    "only free text": (
        lambda t: table(t, rows((f"a word and number {i} more", i % 2) for i in range(60))),
        "free text.*source = 'text'",
    ),
    "too few": (lambda t: table(t, rows((i, i % 2) for i in range(6))), "6 samples.*at least 8"),
    "group column absent": (
        lambda t: table(t, GOOD, split=Split(method="group", column="color")),
        "split.column 'color'.*'colour'",
    ),
    "group column unnamed": (lambda t: table(t, GOOD, split=Split(method="group")), "split.column None"),
    "group cells missing": (
        lambda t: table(t, GOOD.replace("red", "", 1), split=Split(method="group", column="colour")),
        "1 missing cells in split.column",
    ),
    "time no date": (lambda t: table(t, GOOD, split=Split(method="time", column="colour")), "no dates, such as 'blue'"),
    "a part without rows": (
        lambda t: table(t, rows((i, i % 2) for i in range(8)), split=Split(validation=0.45, test=0.5, method="random")),
        "empty train part",
    ),
    "shares": (lambda t: table(t, GOOD, split=Split(validation=0.6, test=0.5)), "validation share of 0.6"),
    "one class left to train on": (
        lambda t: table(
            t,
            "t,x,y\n" + "".join(f"{i},{i % 7},{int(i > 24)}\n" for i in range(30)),
            split=Split(method="time", column="t"),
        ),
        "training part with 1 class",
    ),
    "multilabel values": (
        lambda t: table(t, GOOD.replace("colour", "z"), targets=("x", "z"), task="multilabel"),
        "multilabel targets",
    ),
    "clusters unknown": (lambda t: table(t, GOOD, task="clustering"), "clustering with 0 known clusters"),
}

ARRAYS = {
    "object array": (
        lambda t: npz(t, {"x": np.array([[1, "a"]] * 30, dtype=object), "y": HALF}),
        "object array or pickled",
    ),
    "no archive": (
        lambda t: ((t / "a.npz").write_bytes(b"nothing"), load(ArrayFile(path=str(t / "a.npz")), 0)),
        "no .npz archive",
    ),
    "no inputs": (lambda t: npz(t, {"q": ones(30, 2), "y": HALF}), "arrays q, y; .*for the inputs"),
    "no targets": (lambda t: npz(t, {"x": ones(30, 2)}), "for the targets"),
    "name wrong": (
        lambda t: npz(t, {"x": ones(30, 2), "lbl": HALF}, target="lbel"),
        "array name 'lbel'.*Did you mean 'lbl'",
    ),
    "single value": (lambda t: npz(t, {"x": np.float64(3), "y": HALF}), "single value under 'x'"),
    "lengths": (lambda t: npz(t, {"x": ones(30, 2), "y": HALF[:29]}), "30 inputs and 29 targets"),
    "NaN": (lambda t: npz(t, {"x": np.where(np.eye(30) > 0, np.nan, 1.0), "y": HALF}), "30 NaN in inputs"),
    "infinite": (lambda t: npz(t, {"x": np.where(np.eye(30) > 0, np.inf, 1.0), "y": HALF}), "30 infinite"),
    "words": (lambda t: npz(t, {"x": np.array([["a"]] * 30), "y": HALF}), "inputs of type <U1"),
    "axes": (lambda t: npz(t, {"x": ones(30, 2), "y": HALF}, axes="steps,features"), "axes 'steps,features'; .*3 axes"),
    "image axes": (lambda t: npz(t, {"x": ones(30, 2, 5, 5), "y": HALF}, axes="image"), "1 or 3 channels"),
    "empty axis": (lambda t: npz(t, {"x": ones(30, 0), "y": HALF}), "shape .30, 0."),
    "NaN target": (lambda t: npz(t, {"x": ones(30, 2), "y": np.where(HALF, np.nan, 1.5)}), "15 missing targets"),
    "steps": (
        lambda t: npz(t, {"x": ones(30, 5, 2), "y": np.zeros((30, 4), int)}, task="sequence-labelling"),
        "targets for 4 steps",
    ),
    "unlike parts": (
        lambda t: npz(t, {"x_train": ones(20, 2), "y_train": HALF[:20], "x_test": ones(10, 3), "y_test": HALF[:10]}),
        "shapes",
    ),
    "group array of another length": (
        lambda t: npz(t, {"x": ones(30, 2), "y": HALF, "g": np.arange(9)}, split=Split(method="group", column="g")),
        "shape .9,. of 'g'",
    ),
}

TEXTS = {
    "no text": (lambda t: text(t, "a,b\n1,2\n3,4\n"), "no column of text"),
    "text column wrong": (
        lambda t: text(t, "words,y\n" + "a b,1\n" * 9, text="wrds"),
        "text column 'wrds'.*Did you mean 'words'",
    ),
    "which target": (lambda t: text(t, "words,a,b\n" + "a b,1,2\n" * 9), "no target for the text column"),
    "numbers as text": (lambda t: text(t, "n,y\n" + "1,a\n2,b\n" * 9, text="n", target="y"), "cells of type"),
    "all empty": (lambda t: text(t, "words,y\n" + "' ',1\n".replace("'", '"') * 9, text="words"), "none with a text"),
    "no words": (lambda t: train_tokenizer([" ", ""], 100, None), "2 training texts without a single word"),
    "one folder": (lambda t: folder(t, {f"a/{i}.txt": b"hello" for i in range(12)}), "one class only"),
    "empty class": (
        lambda t: folder(t, {**{f"a/{i}.txt": b"hello" for i in range(12)}, "b/readme.md": b"x"}),
        "class folder 'b', an empty class",
    ),
    "undecodable class": (
        lambda t: folder(t, {f"{c}/{i}.txt": b"ok" if c == "a" else b"\xff\xfe\xfa" for c in "ab" for i in range(9)}),
        "'b'.*UTF-8",
    ),
    "folder missing": (lambda t: load(TextData(path=str(t / "texts")), 0), "not there"),
    "folder by group": (
        lambda t: (
            (t / "f").mkdir(),
            [((t / "f" / c).mkdir(), (t / "f" / c / "1.txt").write_text("hi")) for c in "ab"],
            load(TextData(path=str(t / "f"), split=Split(method="group", column="g")), 0),
        ),
        "split by group",
    ),
}

GIVEN = {
    "something else": (lambda t: splits_from(7), "data of type int"),
    "no targets": (lambda t: splits_from(ones(30, 2)), "inputs without targets"),
    "ragged lists": (lambda t: splits_from(([[1, 2], [3]] * 15, HALF)), "ragged inputs"),
    "ragged objects": (
        lambda t: splits_from((np.array([np.zeros(2), np.zeros(3)] * 15, dtype=object), HALF)),
        "ragged rows",
    ),
    "mixed objects": (lambda t: splits_from((np.array([[1, "a"]] * 30, dtype=object), HALF)), "mixed types"),
    "frame and targets": (lambda t: splits_from((pd.DataFrame({"a": range(30)}), HALF[:20])), "30 rows and 20 targets"),
    "texts and targets": (lambda t: splits_from((["a b"] * 30, HALF[:20])), "30 texts and 20 targets"),
    "target among inputs": (
        lambda t: splits_from((pd.DataFrame({"a": range(30)}), pd.Series(HALF, name="a"))),
        "target called 'a'",
    ),
    "names": (
        lambda t: splits_from((pd.DataFrame({"a": range(30)}), HALF), targets=("y", "z")),
        "2 names for 1 target",
    ),
    "part name": (lambda t: splits_from({"trian": (ones(30, 2), HALF)}), "keys 'trian'.*Did you mean 'train'"),
    "no train": (lambda t: splits_from({"test": (ones(30, 2), HALF)}), "keys 'test'.*Add the part train"),
    "parts unlike": (lambda t: splits_from({"train": (ones(30, 2), HALF), "test": (ones(30, 3), HALF)}), "shapes"),
    "part lengths": (
        lambda t: splits_from({"train": (ones(30, 2), HALF), "test": (ones(9, 2), HALF)}),
        "9 inputs and 30 targets in the test part",
    ),
    "part columns": (
        lambda t: splits_from({"train": pd.DataFrame({"a": [1], "y": [2]}), "test": pd.DataFrame({"a": [1]})}),
        "columns in the test part.*y",
    ),
    "iterable": (lambda t: splits_from(Endless()), "Endless"),
    "ragged dataset": (lambda t: splits_from(Ragged()), "shape .*item 1 of Ragged"),
    "broken dataset": (lambda t: splits_from(Broken()), "disk gone.*item 7 of Broken"),
    "declared class without rows": (
        lambda t: splits_from(
            (pd.DataFrame({"a": ones(30)}), pd.Series(pd.Categorical(["u", "v"] * 15, categories=["u", "v", "w"])))
        ),
        "declared classes 'w'",
    ),
    "lists in cells": (lambda t: splits_from(pd.DataFrame({"a": [[1, 2]] * 30, "y": HALF})), "cells of type list"),
    "complex": (lambda t: splits_from(pd.DataFrame({"a": [1j] * 30, "y": HALF})), "type complex128"),
    "group without column": (
        lambda t: splits_from((ones(30, 2), HALF), split=Split(method="group")),
        "split method 'group' without",
    ),
}

CASES = {
    f"{kind}: {name}": case
    for kind, cases in (("table", TABLES), ("array", ARRAYS), ("text", TEXTS), ("given", GIVEN))
    for name, case in cases.items()
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_data_are_refused_with_what_came_what_was_expected_and_the_cure(case, tmp_path):
    cause, noun = case
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        cause(tmp_path)
    message = str(caught.value)
    assert re.search(r"\bgot\b", message)
    assert re.search(r"\bexpected\b", message)
    assert re.search(noun, message, re.DOTALL), message
    assert message.rstrip().endswith((".", ")", "?")), message
    cure = message[message.index("expected") :]
    assert re.search(r"[.?)] [A-Z]", cure), f"no cure after the expectation: {message}"


def fitted():
    frame = pd.DataFrame({"x": ones(30), "colour": ["red", "blue", "red"] * 10, "y": HALF})
    return splits_from(frame, targets=("y",)).signature


@pytest.mark.parametrize(
    ("signature", "raw", "noun"),
    [
        (fitted, pd.DataFrame({"x": [1.0], "color": ["red"]}), "without the column 'colour'"),
        (fitted, np.ones((2, 3)), "rows of shape .2, 3."),
        (fitted, {"x": np.inf, "colour": "red"}, "infinite or too large cells"),
        (fitted, pd.DataFrame([[1, 2, 3]], columns=["x", "x", "colour"]), "duplicate column names 'x'"),
        (lambda: splits_from((ones(30, 4), HALF)).signature, ones(3, 5), "inputs of shape .3, 5."),
        (lambda: splits_from((ones(30, 4), HALF)).signature, [[1, 2], [3]], "ragged inputs"),
        (lambda: splits_from((ones(30, 4), HALF)).signature, [["a"] * 4], "inputs of type"),
        (lambda: splits_from((ones(30, 4), HALF)).signature, np.full((2, 4), np.nan), "8 NaN in inputs"),
    ],
)
def test_what_a_network_cannot_take_is_refused(signature, raw, noun):
    with pytest.raises(ValueError, match=f"(?s)got .*{noun}.* expected ") as caught:
        decode(signature(), raw)
    assert "expected" in str(caught.value)


def test_there_are_many_cases():
    assert len(CASES) >= 60
