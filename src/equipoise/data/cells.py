"""Turns the cells of one column into float32 numbers: quantities, days, or the index of a category."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from equipoise.core.signature import Column
from equipoise.data.targets import cell_text

DATE_FORMATS = (
    "ISO8601",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d-%m-%Y",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
)
"""How dates may be written, tried in this order; what could be month or day first is read month first."""

DAY_NS = 86_400 * 10**9

EXACT = 2.0**53
"""From here on float64 does not hold every whole number."""

LARGE = 1000.0
"""A median of at least so many times the range is subtracted."""

MERGED = 0.1
"""When float32 merges more than this share of a column's different values, that is mended or told."""


def encode_cells(cells: pd.Series, column: Column) -> np.ndarray:
    """Return one column as float32, shape (n,), NaN where a cell is missing, unreadable or an unseen category.

    Numbers and days are less the column's offset.

    Raises:
        ValueError: A cell is infinite, or too large for float32.
    """
    if column.kind == "category":
        index = {name: i for i, name in enumerate(column.categories)}
        texts = category_texts(cells)
        return texts.map(index).to_numpy(dtype=np.float32, na_value=np.nan)
    values = quantities(cells, column)
    beyond = np.abs(values) > np.finfo(np.float32).max
    if beyond.any():
        raise ValueError(
            f"got {int(beyond.sum())} infinite or too large cells in column {column.name!r}, such as "
            f"{values[beyond][0]:g}; expected finite numbers up to {np.finfo(np.float32).max:.3g}. "
            "Mend them, or leave them empty to have them imputed."
        )
    return values.astype(np.float32)


def quantities(cells: pd.Series, column: Column) -> np.ndarray:
    """Return numbers, or dates as days, less the column's offset: float64, shape (n,), NaN where missing."""
    if column.kind == "date":
        return day_numbers(cells, column.format) - column.offset
    return number_cells(cells, column.offset)


def number_cells(cells: pd.Series, offset: float = 0.0) -> np.ndarray:
    """Return cells less `offset` as float64, shape (n,), NaN where a cell is missing or no number."""
    if pd.api.types.is_bool_dtype(cells.dtype):
        cells = cells.astype("Float64")
    numbers = pd.to_numeric(cells, errors="coerce")
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    whole = pd.api.types.is_integer_dtype(numbers.dtype) and float(offset).is_integer()
    if offset and whole and np.nanmax(np.abs(values), initial=0.0) >= EXACT:
        # Whole numbers that float64 cannot tell apart either are subtracted as Python's, which have all digits.
        present = ~np.isnan(values)
        values[present] = [float(int(cell) - int(offset)) for cell in numbers[present]]
        return values
    return values - offset


def fit_offset(cells: pd.Series, column: Column) -> float:
    """Return what to subtract from training cells so that float32 keeps their differences; 0 for ordinary columns.

    Dates with a time of day get their median in whole days, as float32 holds days since 1970 to some minutes only;
    whole days fit. Numbers get their median (a whole one for whole numbers) where it is at least 1,000 times the
    range, or where float32 would merge a tenth of the different values and those less the median would stay apart.
    """
    values = quantities(cells, column)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return 0.0
    whole = column.kind == "date" or bool((np.mod(values, 1) == 0).all())
    median = float(np.floor(np.median(values)) if whole else np.median(values))
    if column.kind == "date":
        return median if (np.mod(values, 1) != 0).any() else 0.0
    if abs(median) >= LARGE * float(values.max() - values.min()):
        return median
    as_they_are = single_precision_values(values)
    merged = as_they_are < (1 - MERGED) * len(np.unique(values))
    return median if merged and single_precision_values(values - median) * (1 - MERGED) > as_they_are else 0.0


def single_precision_values(values: np.ndarray) -> int:
    """Return how many different values are left in float32; those beyond its range count as they are."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return len(np.unique(np.where(np.isfinite(single), single, values)))


def day_numbers(cells: pd.Series, form: str) -> np.ndarray:
    """Return dates as days since 1970-01-01 (UTC; dates without a zone are taken as UTC), float64, NaN where missing.

    Args:
        cells: Dates, or texts written as `form` says.
        form: `ISO8601` or a strptime format.
    """
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        dates = pd.to_datetime(cells, utc=True)
    else:
        texts = cells if isinstance(cells.dtype, pd.StringDtype) else cells.astype(object).map(_iso)
        dates = pd.to_datetime(texts, format=form, errors="coerce", utc=True)
    ticks = dates.astype("datetime64[ns, UTC]").to_numpy(dtype="datetime64[ns]")
    days: np.ndarray = ticks.astype(np.int64) / DAY_NS
    return np.where(np.isnat(ticks), np.nan, days)


def category_texts(cells: pd.Series) -> pd.Series:
    """Return cells as words (`cell_text`), None where a cell is missing or blank."""
    # Each different cell is looked at once: columns are long, and their words few.
    codes, different = pd.factorize(cells.astype(object))
    words = np.array([*(cell_text(cell) or None for cell in different), None], dtype=object)
    return pd.Series(words[codes], dtype=object, index=cells.index)


def date_format(texts: pd.Series, share: float) -> str | None:
    """Return the first known format that reads at least this share of the present texts as dates, or None."""
    present = texts.dropna().astype(str)
    sample = present.iloc[:: max(1, len(present) // 200)]
    for form in DATE_FORMATS:
        if _share_of_dates(sample, form) >= share and _share_of_dates(present, form) >= share:
            return form
    return None


def ambiguous_dates(texts: pd.Series, form: str) -> bool:
    """Return whether dates read month first could as well be read day first."""
    other = form.replace("%m/%d/", "%d/%m/")
    present = texts.dropna().astype(str)
    return other != form and _share_of_dates(present, other) == _share_of_dates(present, form)


def examples(cells: pd.Series, wrong: np.ndarray | Sequence[bool]) -> str:
    """Return up to three different cells, quoted, for a note or an error."""
    different = list(dict.fromkeys(str(one)[:30] for one in cells[np.asarray(wrong)]))
    return ", ".join(map(repr, different[:3])) + (", …" if len(different) > 3 else "")


def _iso(cell: Any) -> object:
    """Return Python dates as ISO text, so that a column of texts and dates is read as one."""
    if pd.isna(cell):
        return None
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)


def _share_of_dates(texts: pd.Series, form: str) -> float:
    if len(texts) == 0:
        return 0.0
    if form == "ISO8601":
        texts = texts.where(texts.str.contains("-", regex=False))
    return float(pd.to_datetime(texts, format=form, errors="coerce", utc=True).notna().mean())
