"""Reads the column by which samples are divided: groups, or times."""

from dataclasses import replace

import numpy as np
import pandas as pd

from equipoise.data.cells import date_format, day_numbers, examples, number_cells
from equipoise.data.split import Division


def divided_by(division: Division, cells: pd.Series) -> Division:
    """Return the division with the groups or the times in a column, one cell a row.

    Times are dates, texts that all read as dates, or numbers.

    Args:
        division: A division whose split is by `group` or by `time`.
        cells: The column.

    Raises:
        ValueError: Cells are missing, or the column of times holds something else.
    """
    missing = int(cells.isna().sum())
    if missing:
        raise ValueError(
            f"got {missing} missing cells in split.column {cells.name!r}; expected a value for each of {len(cells)} "
            "samples. Fill the column in or remove these samples."
        )
    if division.split.method == "group":
        return replace(division, groups=cells.astype(str).to_numpy(dtype=object))
    return replace(division, times=_times(cells))


def _times(cells: pd.Series) -> np.ndarray:
    """Return times as float64: days for dates, else the numbers themselves."""
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return day_numbers(cells, "ISO8601")
    numbers = number_cells(cells)
    if not np.isnan(numbers).any():
        return numbers
    form = date_format(cells, 1.0)
    if form is None:
        best = date_format(cells, 0.5) or "ISO8601"
        wrong = np.isnan(day_numbers(cells, best))
        raise ValueError(
            f"got split.column {cells.name!r} with {int(wrong.sum())} cells that are no dates, such as "
            f"{examples(cells, wrong)}; expected dates or numbers to split by time. Mend them (ISO dates like "
            "2024-03-01 are safest) or choose another column."
        )
    return day_numbers(cells, form)
