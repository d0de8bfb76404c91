"""Tables: a file or a frame becomes samples, and rows that come later are read the same way."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equipoise.core.complaint import nearest
from equipoise.core.data_plan import TableData
from equipoise.core.signature import TableInput
from equipoise.data.assemble import assemble
from equipoise.data.columns import encode_columns, fit_columns, gap_notes
from equipoise.data.samples import Splits
from equipoise.data.split import Division
from equipoise.data.split_column import divided_by
from equipoise.data.table_file import read_table, refuse_duplicates
from equipoise.data.targets import strata
from equipoise.data.task import WITHOUT_TARGET, Aim

TARGET_NAMES = ("target", "label", "class", "y")
"""A column of such a name (in any case) is the target when none is named."""


def load_table(plan: TableData, seed: int) -> Splits:
    """Return the samples of a CSV or Parquet file; see `table_splits` for what is refused or repaired."""
    frame = read_table(plan.path)
    unknown = [name for name in plan.ignore if name not in frame.columns]
    if unknown:
        raise ValueError(
            f"{plan.path}: got no column {unknown[0]!r} to ignore; expected one of the table's columns. "
            f"{nearest(unknown[0], [str(name) for name in frame.columns])}"
        )
    return table_splits(
        frame.drop(columns=list(plan.ignore)),
        Aim(plan.task, plan.clusters, plan.targets),
        Division(plan.split, seed),
        name=Path(plan.path).stem,
        notes=(f"left out as asked: {', '.join(plan.ignore)}",) if plan.ignore else (),
    )


def table_splits(
    frame: pd.DataFrame, aim: Aim, division: Division, *, name: str = "table", notes: tuple[str, ...] = ()
) -> Splits:
    """Return the samples of a frame.

    Rows without a target are dropped and counted. What each column is, which categories there are and what is imputed
    is fitted on the training part only. The group or time column divides the rows and is no input.

    Args:
        frame: Inputs and targets, one row a sample.
        aim: What is predicted; without names of target columns, a column called target, label, class or y.
        division: How to divide.
        name: Short name of the data.
        notes: Notes so far.

    Raises:
        ValueError: Columns that are named but absent, duplicate names, a target that cannot be learned, columns none of
            which can be used, infinite cells, or too few rows.
    """
    refuse_duplicates(frame.columns, name)
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1).reset_index(drop=True)
    aim, target_note = _with_targets(frame, aim, name)
    targets = list(aim.names)
    rows, drop_note = _rows_with_targets(frame, aim, name)
    frame, division = frame.iloc[rows].reset_index(drop=True), division.keep(rows)
    division, split_note = _with_split_column(frame, division, name)
    task, encoded, reason = aim.encode(frame[targets] if targets else None, len(frame))
    inputs = frame.drop(columns=[*targets, *([division.split.column] if split_note else [])])
    positions = division.positions(len(frame), strata(task, encoded))
    columns, column_notes = fit_columns(inputs.iloc[positions["train"]])
    cells = encode_columns(inputs, columns)
    told = (*notes, drop_note, target_note, reason, split_note, *column_notes, *gap_notes(inputs, cells, columns))
    return assemble(
        name,
        torch.from_numpy(cells),
        encoded,
        positions=positions,
        rows=rows,
        spec=TableInput(columns=columns),
        task=task,
        notes=tuple(note for note in told if note),
        groups=division.groups_by_part(positions),
    )


def decode_table(spec: TableInput, raw: Any) -> Tensor:
    """Return rows as the raw tensor, float32 (n, columns).

    Args:
        spec: The columns, as fitted in training.
        raw: A DataFrame or Series of one row, a dict or a list of dicts (cells by column name), or an array
            (n, columns) with the columns in order. Columns that the network does not use are passed over. An array or
            tensor of numbers is the raw tensor itself: numbers and dates (days since 1970) less their column's
            offset, categories as their index.

    Raises:
        ValueError: A column is absent, or an array has another number of columns.
    """
    names = [column.name for column in spec.columns]
    if isinstance(raw, dict):
        scalars = all(np.ndim(cell) == 0 for cell in raw.values())
        raw = pd.DataFrame([raw] if scalars else raw)
    elif isinstance(raw, pd.Series):
        raw = pd.DataFrame([raw.to_dict()])
    elif isinstance(raw, (list, tuple)) and raw and all(isinstance(row, dict) for row in raw):
        raw = pd.DataFrame(list(raw))
    if not isinstance(raw, pd.DataFrame):
        array = _rows(raw, names)
        if array.dtype.kind in "biuf":
            return torch.from_numpy(array.astype(np.float32))
        raw = pd.DataFrame(array, columns=names)
    raw = raw.set_axis([str(column) for column in raw.columns], axis=1)
    refuse_duplicates(raw.columns, "rows")
    absent = [column for column in names if column not in raw.columns]
    if absent:
        raise ValueError(
            f"got rows without the column {absent[0]!r}; expected the columns {', '.join(names[:12])}"
            f"{', …' if len(names) > 12 else ''}. {nearest(absent[0], list(raw.columns))} Add it; leave cells that are "
            "unknown empty (NaN)."
        )
    return torch.from_numpy(encode_columns(raw, spec.columns))


def _rows(raw: Any, names: list[str]) -> np.ndarray:
    array = np.asarray(raw.detach().cpu() if isinstance(raw, Tensor) else raw)
    if array.ndim == 1 and len(array) == len(names):
        array = array[None]
    if array.ndim != 2 or array.shape[1] != len(names):
        raise ValueError(
            f"got rows of shape {array.shape}; expected (n, {len(names)}), or a DataFrame or dicts with the columns "
            f"{', '.join(names[:12])}. Hand over one column for each of these."
        )
    return array


def _with_targets(frame: pd.DataFrame, aim: Aim, name: str) -> tuple[Aim, str]:
    """Return the aim with its target columns, and a note when they were found by their name."""
    columns, targets = list(frame.columns), aim.names
    for target in targets:
        if target not in columns:
            raise ValueError(
                f"{name}: got the target {target!r}, which is no column; expected one of the {len(columns)} columns. "
                f"{nearest(target, columns)} Name the target with --target."
            )
    if len(set(targets)) < len(targets):
        raise ValueError(f"{name}: got a target named twice ({', '.join(targets)}); expected each once. Name it once.")
    if targets or aim.kind in WITHOUT_TARGET:
        return aim, ""
    for usual in TARGET_NAMES:
        for column in columns:
            if column.lower() == usual:
                return replace(aim, names=(column,)), f"target {column!r}: chosen by its name"
    raise ValueError(
        f"{name}: got no target, and no column is called {', '.join(TARGET_NAMES)}; expected the name of what is to be "
        f"predicted. Name it with --target (columns: {_shown(columns)})."
    )


def _rows_with_targets(frame: pd.DataFrame, aim: Aim, name: str) -> tuple[np.ndarray, str]:
    """Return the positions of the rows whose targets are all there, and a note that counts the others."""
    if not aim.names or aim.kind in WITHOUT_TARGET:
        return np.arange(len(frame)), ""
    rows = np.flatnonzero(frame[list(aim.names)].notna().all(axis=1))
    if not len(rows):
        raise ValueError(
            f"{name}: got {len(frame):,} rows, all without a target in {', '.join(aim.names)}; expected targets. "
            "Fill in the target column or name another one."
        )
    dropped = len(frame) - len(rows)
    return rows, f"{dropped:,} of {len(frame):,} rows were dropped: their target is missing" if dropped else ""


def _shown(columns: Sequence[str]) -> str:
    return ", ".join(columns[:20]) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")


def _with_split_column(frame: pd.DataFrame, division: Division, name: str) -> tuple[Division, str]:
    """Return the division with the groups or times of its column, and a note that the column is no input."""
    split = division.split
    if split.method not in ("group", "time") or division.groups is not None or division.times is not None:
        return division, ""
    if split.column is None or split.column not in frame.columns:
        raise ValueError(
            f"{name}: got split.column {split.column!r} for a split by {split.method}; expected the name of a column. "
            f"{nearest(split.column or '', list(frame.columns))} Set split.column."
        )
    note = f"column {split.column!r} divides the rows by {split.method} and is no input"
    return divided_by(division, frame[split.column]), note
