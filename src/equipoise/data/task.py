"""Chooses what is to be predicted from the targets, says why, and turns targets into numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from equipoise.core.signature import Task, TaskKind
from equipoise.data.targets import (
    class_codes,
    labels_a_step,
    one_hot_classes,
    regression_targets,
    regression_task,
    zero_one_labels,
)

FEW_VALUES = 20
"""Whole numbers with at most so many distinct values may be classes."""

ROWS_A_CLASS = 5
"""Whole numbers are classes only when each value occurs at least so often on average."""


WITHOUT_TARGET: tuple[TaskKind, ...] = ("clustering", "reconstruction", "generation")
"""Tasks that can do without targets."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What the user wants predicted.

    Attributes:
        kind: The task asked for, or None to choose it from the targets.
        clusters: Number of clusters, for clustering.
        names: Names of the targets.
    """

    kind: TaskKind | None = None
    clusters: int | None = None
    names: tuple[str, ...] = ()

    def encode(self, targets: Any, n: int, *, steps: int | None = None) -> tuple[Task, np.ndarray, str]:
        """Return task, encoded targets and reason for the targets of n samples, or for none (None).

        Args:
            targets: As `choose_task` takes them, or None.
            n: Number of samples.
            steps: Number of steps of each input, when the inputs are sequences.
        """
        if targets is None:
            return unlabelled(n, self.kind, self.clusters)
        return choose_task(targets, kind=self.kind, names=self.names, clusters=self.clusters, steps=steps)


def choose_task(
    values: Any,
    *,
    kind: TaskKind | None = None,
    names: Sequence[str] = (),
    clusters: int | None = None,
    steps: int | None = None,
) -> tuple[Task, np.ndarray, str]:
    """Return the task, the encoded targets and the reason for the choice in one sentence.

    Without a `kind`: words, booleans and categories are classes; whole numbers are classes when they have two values,
    or at most 20 values that each occur five times on average; other numbers are regression. Several columns are
    multi-label when all are 0 or 1 (multi-class when each row has exactly one 1), sequence labelling when they are
    whole numbers or words, one a step, else regression with several targets.

    Args:
        values: Targets without missing ones, shape (n,) or (n, columns): an array, a list, a Series or a DataFrame.
        kind: The task the user asked for.
        names: Names of the target columns.
        clusters: Number of clusters, for clustering.
        steps: Number of steps of each input, when the inputs are sequences.

    Returns:
        Task, targets as `Samples` defines them, and the reason.

    Raises:
        ValueError: One class or a constant, missing or infinite targets, an empty declared class, far too many classes,
            or targets that do not fit the kind asked for.
    """
    columns = _columns(values)
    names = tuple(names) or (("target",) if len(columns) == 1 else tuple(f"target {i}" for i in range(len(columns))))
    asked = f"task {kind}: asked for"
    if kind in ("reconstruction", "generation"):
        return Task(kind=kind), np.zeros((len(columns[0]) if columns else 0, 0), dtype=np.float32), asked
    if kind == "clustering":
        return _clusters(columns, clusters, asked)
    _refuse_missing(columns, names)
    if len(columns) == 1:
        if kind in ("multilabel", "sequence-labelling"):
            raise ValueError(
                f"got one target ({names[0]!r}) for {kind}; expected several columns. "
                "Name all target columns, or leave the task out."
            )
        return _single(columns[0], names[0], kind)
    return _several(columns, names, kind, steps)


def unlabelled(n: int, kind: TaskKind | None, clusters: int | None = None) -> tuple[Task, np.ndarray, str]:
    """Return task, targets and reason for data without targets.

    Raises:
        ValueError: The kind needs targets, or clustering lacks the number of clusters.
    """
    if kind == "clustering":
        return _clusters([], clusters, f"task {kind}: asked for", n=n)
    if kind not in ("reconstruction", "generation"):
        raise ValueError(
            f"got no targets for {kind or 'a task yet to be chosen'}; expected some. Hand over targets, "
            "or set the task to reconstruction, generation or clustering."
        )
    return Task(kind=kind), np.zeros((n, 0), dtype=np.float32), f"task {kind}: asked for"


def _columns(values: Any) -> list[pd.Series]:
    if isinstance(values, pd.DataFrame):
        return [values.iloc[:, i].reset_index(drop=True) for i in range(values.shape[1])]
    if isinstance(values, pd.Series):
        return [values.reset_index(drop=True)]
    array = np.asarray(values)
    if array.ndim not in (1, 2):
        raise ValueError(
            f"got targets of shape {array.shape}; expected (n,) or (n, columns). Reshape them to one row a sample."
        )
    if array.ndim == 1:
        return [pd.Series(array)]
    return [pd.Series(array[:, i]) for i in range(array.shape[1])]


def _refuse_missing(columns: list[pd.Series], names: Sequence[str]) -> None:
    for column, name in zip(columns, names, strict=True):
        missing = int(column.isna().sum())
        if missing:
            raise ValueError(
                f"got {missing} missing targets in {name!r}; expected a target for each sample. "
                "Remove these samples or fill the targets in."
            )
        if pd.api.types.is_float_dtype(column) and np.isinf(column.to_numpy(dtype=np.float64)).any():
            raise ValueError(
                f"got infinite targets in {name!r}; expected finite numbers. Remove these samples or mend the values."
            )


def _clusters(columns: list[pd.Series], clusters: int | None, reason: str, n: int = 0) -> tuple[Task, np.ndarray, str]:
    encoded = np.asarray(pd.factorize(columns[0], sort=True)[0] if columns else np.full(n, -1), dtype=np.int64)
    number = clusters or len(np.unique(encoded[encoded >= 0]))
    if number < 2:
        raise ValueError(
            f"got clustering with {number} known clusters; expected at least 2. Set `clusters` in the data section."
        )
    return Task(kind="clustering", clusters=number), encoded, reason


def _single(column: pd.Series, name: str, kind: TaskKind | None) -> tuple[Task, np.ndarray, str]:
    distinct = int(column.nunique())
    chosen, reason = (kind, f"task {kind}: asked for") if kind else _chosen(column, name, distinct)
    if distinct < 2:
        raise ValueError(
            f"got the constant target {name!r} ({str(column.iloc[0])[:40]!r} in all {len(column)} rows, so one class "
            "only); expected at least two different values. Choose another target or add samples that differ."
            if len(column)
            else f"got no samples with a target {name!r}; expected some. Add samples."
        )
    if chosen == "regression":
        return regression_task([column], (name,)), regression_targets([column], (name,)), reason
    classes, encoded = class_codes(column, name)
    if chosen == "binary" and len(classes) != 2:
        raise ValueError(
            f"got {len(classes)} classes in {name!r} for a binary task; expected 2. Set the task to multiclass."
        )
    return Task(kind=chosen, classes=classes, targets=(name,)), encoded, reason


def _chosen(column: pd.Series, name: str, distinct: int) -> tuple[TaskKind, str]:
    classes: TaskKind = "binary" if distinct == 2 else "multiclass"
    if pd.api.types.is_datetime64_any_dtype(column):
        raise ValueError(
            f"got dates as target {name!r}; expected numbers or classes. Turn the dates into a number, such as days "
            "since a start."
        )
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        _refuse_nearly_numbers(column, name, distinct)
        return classes, f"task {classes}: {name!r} holds {distinct:,} different names"
    numbers = column.to_numpy(dtype=np.float64)
    change = f"set task = 'regression' if {name!r} is a quantity"
    if (numbers != np.round(numbers)).any():
        return "regression", f"task regression: {name!r} holds numbers with fractions"
    if distinct == 2:
        return "binary", f"task binary: {name!r} has two values; {change}"
    if distinct <= FEW_VALUES and distinct * ROWS_A_CLASS <= len(numbers):
        why = f"{name!r} holds only {distinct} whole numbers in {len(numbers):,} rows"
        return "multiclass", f"task multiclass: {why}; {change}"
    return "regression", f"task regression: {name!r} holds {distinct:,} different whole numbers"


def _refuse_nearly_numbers(column: pd.Series, name: str, distinct: int) -> None:
    """Refuse a target of many different numbers among which some cells are words."""
    if isinstance(column.dtype, pd.CategoricalDtype) or distinct <= FEW_VALUES:
        return
    wrong = pd.to_numeric(column, errors="coerce").isna()
    if 0 < wrong.sum() < 0.5 * len(column):
        raise ValueError(
            f"got {int(wrong.sum())} of {len(column):,} targets in {name!r} that are no numbers, such as "
            f"{str(column[wrong].iloc[0])[:40]!r}; expected one type in the whole column. Mend or empty these cells."
        )


def _several(
    columns: list[pd.Series], names: Sequence[str], kind: TaskKind | None, steps: int | None
) -> tuple[Task, np.ndarray, str]:
    numeric = all(pd.api.types.is_numeric_dtype(one) for one in columns)
    flags = numeric and all(one.isin([0, 1]).all() for one in columns)
    whole = numeric and all((np.mod(one.to_numpy(dtype=np.float64), 1) == 0).all() for one in columns)
    asked = f"task {kind}: asked for"
    if kind == "sequence-labelling" or (kind is None and steps == len(columns) and (whole or not numeric)):
        return labels_a_step(
            columns, steps, asked if kind else f"task sequence-labelling: one class for each of {steps} steps"
        )
    if kind == "multilabel" or (kind is None and flags):
        table = _flags(columns) if flags else np.zeros((0, 0))
        if kind is None and _one_each(table) and len(columns) > 2:
            return one_hot_classes(table, names)
        return zero_one_labels(
            table, names, flags, asked if kind else f"task multilabel: {len(columns)} targets of 0 and 1"
        )
    if kind in ("binary", "multiclass"):
        if flags and len(columns) > 1 and _one_each(table := _flags(columns)):
            return one_hot_classes(table, names)
        raise ValueError(
            f"got {len(columns)} targets ({', '.join(names[:5])}) for {kind}; expected one. Name one target column."
        )
    reason = asked if kind else f"task regression: {len(columns)} targets of numbers"
    return regression_task(columns, names), regression_targets(columns, names), reason


def _flags(columns: list[pd.Series]) -> np.ndarray:
    return np.stack([one.to_numpy(dtype=np.float32) for one in columns], axis=1)


def _one_each(table: np.ndarray) -> bool:
    return bool((table.sum(1) == 1).all())
