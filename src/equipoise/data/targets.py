"""Turns target columns into the tensors' numbers: class codes, 0/1 labels, labels a step, quantities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from equipoise.core.signature import Task
from equipoise.data.samples import IGNORED

MANY_CLASSES = 1000
"""More classes than this are taken for a mistake (an identifier or free text as target)."""


COARSE = 1e-3
"""Steps of float32 at a target's largest value may be this share of its standard deviation."""


def named_classes(codes: Sequence[int] | np.ndarray, classes: Sequence[Any], name: str) -> pd.Series:
    """Return class indices as a categorical column whose declared classes are these, in this order; -1 is missing."""
    numbers = [int(code) for code in codes]
    return pd.Series(pd.Categorical.from_codes(numbers, pd.Index([str(one) for one in classes])), name=name)


def class_codes(column: pd.Series, name: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return class names in order (declared order for a categorical column, else sorted) and int64 codes (n,).

    Raises:
        ValueError: A declared class has no rows, or there are far too many classes.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, found = column.cat.codes.to_numpy().astype(np.int64), list(column.cat.categories)
        empty = [str(found[i]) for i in np.flatnonzero(np.bincount(codes, minlength=len(found)) == 0)]
        if empty:
            raise ValueError(
                f"got no rows for the declared classes {', '.join(map(repr, empty[:5]))} of {name!r}; expected rows "
                "for each class. Remove the empty class (`cat.remove_unused_categories()`) or add samples of it."
            )
    else:
        plain = column.astype(object) if not pd.api.types.is_numeric_dtype(column) else column
        raw_codes, raw_found = pd.factorize(plain)
        order = _in_order(list(raw_found))
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        codes, found = rank[raw_codes], [raw_found[i] for i in order]
    if len(found) > min(MANY_CLASSES, max(2, len(codes) // 2)):
        raise ValueError(
            f"got {len(found):,} classes of {name!r} in {len(codes):,} rows; expected at most {MANY_CLASSES:,} that "
            "occur twice or more on average. Choose another target (this one looks like an identifier or free text), "
            "or set task = 'regression' if it is a quantity."
        )
    names = tuple(cell_text(one) for one in found)
    if len(set(names)) < len(names):
        double = next(one for one in names if names.count(one) > 1)
        raise ValueError(
            f"got mixed types in {name!r}: {double!r} occurs as a word and as a number; expected one type. "
            "Convert the target to one type."
        )
    return names, codes


def strata(task: Task, encoded: np.ndarray) -> np.ndarray | None:
    """Return the class name of each sample, by which a stratified split goes; None when samples have no one class."""
    return np.asarray(task.classes, dtype=object)[encoded] if task.classifies else None


def cell_text(cell: Any) -> str:
    """Return a cell as the word that names its category: whole numbers without a fraction."""
    if isinstance(cell, (float, np.floating)) and float(cell).is_integer():
        return str(int(cell))
    return str(cell).strip()


def _in_order(found: list[Any]) -> list[int]:
    """Return the order of class values: numbers by size, then words by alphabet (numerals in words by size)."""

    def key(i: int) -> tuple[int, float, str]:
        text = cell_text(found[i])
        try:
            return 0, float(text), text
        except ValueError:
            return 1, 0.0, text

    return sorted(range(len(found)), key=key)


def one_hot_classes(table: np.ndarray, names: Sequence[str]) -> tuple[Task, np.ndarray, str]:
    """Return a task with one class a column, and int64 codes (n,); refuse a class without rows."""
    reason = f"task multiclass: each row has exactly one 1 among {len(names)} targets; set task = 'multilabel' if not"
    encoded = table.argmax(1).astype(np.int64)
    empty = [name for name, count in zip(names, table.sum(0), strict=True) if count == 0]
    if empty:
        raise ValueError(
            f"got no rows for the classes {', '.join(empty[:5])}; expected rows for each class. Remove the empty class "
            "or add samples of it."
        )
    return Task(kind="binary" if len(names) == 2 else "multiclass", classes=tuple(names)), encoded, reason


def zero_one_labels(table: np.ndarray, names: Sequence[str], flags: bool, reason: str) -> tuple[Task, np.ndarray, str]:
    """Return a multilabel task with float32 targets (n, labels) of 0 and 1; refuse other values and constant labels."""
    if not flags:
        raise ValueError(
            f"got multilabel targets ({', '.join(names[:5])}) with other values than 0 and 1; expected only these. "
            "Encode each label as 0 or 1."
        )
    constant = [name for name, column in zip(names, table.T, strict=True) if column.min() == column.max()]
    if constant:
        raise ValueError(
            f"got constant labels {', '.join(constant[:5])}; expected 0 and 1 in each. Remove them or add samples."
        )
    return Task(kind="multilabel", classes=tuple(names), targets=tuple(names)), table.astype(np.float32), reason


def labels_a_step(columns: list[pd.Series], steps: int | None, reason: str) -> tuple[Task, np.ndarray, str]:
    """Return a sequence-labelling task with int64 codes (n, steps); refuse a wrong number of steps or one class."""
    if steps is not None and steps != len(columns):
        raise ValueError(
            f"got targets for {len(columns)} steps and inputs of {steps} steps; expected one target a step. "
            f"Pad the targets with {IGNORED}."
        )
    flat = pd.concat(columns, ignore_index=True)
    padded = (flat == IGNORED).to_numpy()
    codes = np.full(len(flat), IGNORED, dtype=np.int64)
    if flat[~padded].nunique() < 2:
        raise ValueError(
            "got sequence labels with one class only; expected at least two different values. Choose another target."
        )
    classes, codes[~padded] = class_codes(flat[~padded], "labels")
    encoded = codes.reshape(len(columns), -1).T.copy()
    return Task(kind="sequence-labelling", classes=classes), encoded, reason


def regression_task(columns: list[pd.Series], names: Sequence[str]) -> Task:
    """Return a regression task; refuse a constant target."""
    for column, name in zip(columns, names, strict=True):
        if column.nunique() < 2:
            raise ValueError(
                f"got the constant target {name!r} ({column.iloc[0]!s}); expected at least two different values. "
                "Choose another target or add samples that differ."
            )
    return Task(kind="regression", targets=tuple(names))


def regression_targets(columns: list[pd.Series], names: Sequence[str]) -> np.ndarray:
    """Return regression targets as float32 (n, targets); refuse cells that are no numbers or beyond float32.

    Raises:
        ValueError: A cell is no number or too large for float32, or a target's values are so large beside their
            differences that float32 would merge them.
    """
    numbers = []
    for column, name in zip(columns, names, strict=True):
        converted = pd.to_numeric(column, errors="coerce")
        wrong = converted.isna()
        if wrong.any():
            example = str(column[wrong].iloc[0])[:40]
            raise ValueError(
                f"got {int(wrong.sum())} targets in {name!r} that are no numbers, such as {example!r}; expected "
                "numbers for regression. Mend these cells or choose a classification task."
            )
        numbers.append(converted.to_numpy(dtype=np.float64))
    table = np.stack(numbers, axis=1)
    if np.abs(table).max() > np.finfo(np.float32).max:
        raise ValueError(
            f"got targets up to {np.abs(table).max():.3g}; expected at most {np.finfo(np.float32).max:.3g} (float32). "
            "Choose a larger unit or take the logarithm."
        )
    for values, name in zip(table.T, names, strict=True):
        # float32 has seven digits: where values are this large, their neighbours there lie so far apart.
        step, deviation = float(np.spacing(np.float32(np.abs(values).max()))), float(values.std())
        if step > COARSE * deviation:
            raise ValueError(
                f"got targets in {name!r} around {np.median(values):,.12g} that differ by a standard deviation of "
                f"{deviation:.3g} only, where float32 has steps of {step:.3g}; expected steps of at most {COARSE:g} "
                f"standard deviations. Subtract an offset from the target (such as {np.median(values):,.12g}) and add "
                "it to the predictions."
            )
    return table.astype(np.float32)
