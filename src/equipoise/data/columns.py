"""Decides for each column of a table what it is, on the training part only, and tells what it left out and why."""

import re

import numpy as np
import pandas as pd

from equipoise.core.signature import Column
from equipoise.data.cells import (
    MERGED,
    ambiguous_dates,
    category_texts,
    date_format,
    encode_cells,
    examples,
    fit_offset,
    number_cells,
    quantities,
    single_precision_values,
)

MOSTLY = 0.9
"""A column of words is numeric, or a date, when at least this share of its cells can be read so."""

MOST_CATEGORIES = 50
"""Categories beyond the most frequent ones count as missing."""

IDENTIFIER = re.compile(r"(^|[_\W])(id|ids|uuid|guid|index|idx|row|row_?number|key|unnamed: \d+)$", re.IGNORECASE)


def fit_columns(train: pd.DataFrame) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Return the usable columns of the training part, in order, and a note for each repair or omission.

    Numbers are numeric; booleans, declared categories and words are categories, unless nine in ten cells read as
    numbers or dates. Left out: columns without a value, with one value only, or that identify rows (nearly every cell
    different words, or whole numbers all different under a name like `id`, or too far apart for float32). Large values
    that lie close together get an offset (see `Column`).

    Raises:
        ValueError: No column is left.
    """
    columns: list[Column] = []
    notes: list[str] = []
    for name in train.columns:
        column, note = _fit(train[name], str(name))
        if column is not None:
            columns.append(column)
        if note:
            notes.append(note)
    if not columns:
        raise ValueError(
            f"got {train.shape[1]} input columns, none of which can be used ({'; '.join(notes) or 'there are none'}); "
            "expected at least one that varies. Add columns, or use source = 'text' for a column of sentences."
        )
    return tuple(columns), tuple(notes)


def encode_columns(frame: pd.DataFrame, columns: tuple[Column, ...]) -> np.ndarray:
    """Return the columns of a frame as float32, shape (n, columns), NaN where missing; see `encode_cells`."""
    if not len(frame):
        return np.zeros((0, len(columns)), dtype=np.float32)
    return np.stack([encode_cells(frame[column.name], column) for column in columns], axis=1)


def gap_notes(frame: pd.DataFrame, encoded: np.ndarray, columns: tuple[Column, ...]) -> tuple[str, ...]:
    """Return notes that count cells imputed: empty ones, unreadable ones, and categories unseen in training."""
    empty = {column.name: int(frame[column.name].isna().sum()) for column in columns}
    notes = []
    if total := sum(empty.values()):
        worst = sorted(empty.items(), key=lambda one: -one[1])
        shown = ", ".join(f"{name} {count:,}" for name, count in worst[:5] if count)
        more = ", …" if sum(count > 0 for count in empty.values()) > 5 else ""
        notes.append(f"{total:,} missing cells of {encoded.size:,} are imputed ({shown}{more})")
    for i, column in enumerate(columns):
        lost = np.isnan(encoded[:, i]) & frame[column.name].notna().to_numpy()
        if lost.any():
            what = {"category": "rare or unseen categories", "date": "no dates", "numeric": "no numbers"}[column.kind]
            shown = examples(frame[column.name], lost)
            notes.append(f"column {column.name!r}: {int(lost.sum()):,} cells are {what} ({shown}) and count as missing")
    return tuple(notes)


def _fit(cells: pd.Series, name: str) -> tuple[Column | None, str]:
    present = cells.dropna()
    if len(present) == 0:
        return None, f"column {name!r} was left out: all its {len(cells):,} training cells are missing"
    if pd.api.types.is_complex_dtype(cells.dtype) or pd.api.types.is_timedelta64_dtype(cells.dtype):
        raise ValueError(
            f"got column {name!r} of type {cells.dtype}; expected numbers, words, booleans or dates. "
            "Convert it to numbers or leave it out with `ignore`."
        )
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return _varied(present, Column(name=name, kind="date"))
    if pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype):
        if _identifies(present, name):
            return None, f"column {name!r} was left out: it numbers the rows (every whole number differs)"
        return _varied(present, Column(name=name, kind="numeric"))
    cells_in = present if cells.dtype == object else ()
    nested = [type(cell).__name__ for cell in cells_in if isinstance(cell, (list, tuple, dict, set, np.ndarray))]
    if nested:
        raise ValueError(
            f"got column {name!r} with {len(nested)} cells of type {nested[0]}; expected single values. Give each "
            "entry a column of its own, or leave the column out with `ignore`."
        )
    return _fit_words(cells, present, name)


def _fit_words(cells: pd.Series, present: pd.Series, name: str) -> tuple[Column | None, str]:
    declared = isinstance(cells.dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(cells.dtype)
    booleans = all(isinstance(cell, (bool, np.bool_)) for cell in present)
    if not declared and not booleans:
        if np.isfinite(number_cells(present)).mean() >= MOSTLY:
            return _varied(present, Column(name=name, kind="numeric"))
        form = date_format(present, MOSTLY)
        if form:
            column, note = _varied(present, Column(name=name, kind="date", format=form))
            if column and ambiguous_dates(present, form):
                ambiguous = (
                    f"column {name!r}: dates could be month or day first and are read month first; write ISO dates"
                )
                note = f"{ambiguous}; {note}" if note else ambiguous
            return column, note
    texts = category_texts(cells).dropna()
    counts = texts.value_counts()
    if len(counts) == 0:
        return None, f"column {name!r} was left out: all its training cells are blank"
    if len(counts) == 1:
        return None, f"column {name!r} was left out: constant {str(counts.index[0])[:40]!r}"
    if len(counts) > max(MOST_CATEGORIES, 0.5 * len(texts)) or (len(texts) >= 20 and len(counts) >= 0.9 * len(texts)):
        kind = "free text" if texts.str.count(" ").mean() >= 3 else "an identifier"
        return None, f"column {name!r} was left out: {len(counts):,} different words in {len(texts):,} cells ({kind})"
    # Ties go by the alphabet, so that the order of rows does not matter.
    frequent = sorted(counts.index, key=lambda word: (-counts[word], word))[:MOST_CATEGORIES]
    note = ""
    if len(counts) > MOST_CATEGORIES:
        rare = int(counts.sum() - counts[frequent].sum())
        note = (
            f"column {name!r}: the {MOST_CATEGORIES} most frequent of {len(counts):,} categories are kept; "
            f"{rare:,} training cells of the others count as missing"
        )
    return Column(name=name, kind="category", categories=tuple(sorted(frequent))), note


def _varied(present: pd.Series, column: Column) -> tuple[Column | None, str]:
    """Return the column with its offset, or None for one that is constant, or an identifier that float32 merges."""
    column = column.replace(offset=fit_offset(present, column))
    values = quantities(present, column)
    values = values[~np.isnan(values)]
    if len(values) == 0 or (values == values[0]).all():
        return None, f"column {column.name!r} was left out: constant {str(present.iloc[0])[:40]}"
    different, left = len(np.unique(values)), single_precision_values(values)
    merged = f"its {different:,} different values are {left:,} in float32"
    if left < 2:
        return None, f"column {column.name!r} was left out: {merged}; divide by a larger unit or subtract an offset"
    if left < (1 - MERGED) * different:
        if different == len(values) and (np.mod(values, 1) == 0).all():
            return None, f"column {column.name!r} was left out: it numbers the rows (every whole number differs)"
        return column, f"column {column.name!r}: {merged}; give the fine differences a column of their own"
    if column.offset:
        unit = " days since 1970-01-01" if column.kind == "date" else ""
        return column, f"column {column.name!r}: held less {column.offset:,.12g}{unit}, as float32 keeps seven digits"
    return column, ""


def _identifies(present: pd.Series, name: str) -> bool:
    """Return whether the column is named like a row number and all its whole numbers differ."""
    values = number_cells(present)
    if not IDENTIFIER.search(name) or not np.isfinite(values).all():
        return False
    return bool((np.mod(values, 1) == 0).all()) and present.nunique() == len(values)
