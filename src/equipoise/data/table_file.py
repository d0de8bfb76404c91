"""Reads a CSV or Parquet file as it is, or says what is wrong with it."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.parquet

from equipoise.data.paths import existing_file

SUFFIXES = (".csv", ".tsv", ".parquet")
PEEKED_ROWS = 1000


def read_table(path: str) -> pd.DataFrame:
    """Return the rows of a table file, with the types that its cells suggest.

    CSV files are UTF-8 (with or without byte-order mark) with a header; cells are separated by commas, semicolons, tabs
    or bars, whichever the header holds most of; where that is no comma, numbers may be written with a decimal comma.
    Empty cells and the usual words for it (`NA`, `NaN`, `null`, …) are
    missing.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Another ending, an empty file, no UTF-8, no header, rows of different lengths, duplicate column
            names, no Parquet inside, or no rows.
    """
    place = existing_file(path, SUFFIXES)
    frame = _parquet(place) if place.suffix.lower() == ".parquet" else _csv(place)
    if len(frame) == 0:
        raise ValueError(f"{path}: got a table without rows; expected at least one below the header. Add rows.")
    return frame


def refuse_duplicates(columns: Iterable[object], origin: str) -> None:
    """Refuse a table in which two of the columns have one name.

    Raises:
        ValueError: Duplicate column names.
    """
    double = [str(name) for name, count in Counter(map(str, columns)).items() if count > 1]
    if double:
        raise ValueError(
            f"{origin}: got duplicate column names {', '.join(map(repr, double[:5]))}; expected each name once. "
            "Rename or remove one of them."
        )


def _parquet(place: Path) -> pd.DataFrame:
    try:
        table = pyarrow.parquet.read_table(place)
    except (pyarrow.ArrowInvalid, OSError) as problem:
        raise ValueError(
            f"{place}: got a file that is no Parquet ({str(problem)[:120]}); expected a table. Write the file anew."
        ) from None
    refuse_duplicates(table.column_names, str(place))
    return table.to_pandas()


def _csv(place: Path) -> pd.DataFrame:
    try:
        text = place.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ValueError(
            f"{place}: got text that is not UTF-8 (byte {problem.start}: {problem.object[problem.start]:#04x}); "
            "expected UTF-8. Save the file with the encoding UTF-8."
        ) from None
    if not text.strip():
        raise ValueError(f"{place}: got an empty file (blank lines only); expected a header and rows. Write it anew.")
    if "\x00" in text:
        raise ValueError(f"{place}: got binary data (null bytes); expected a text table. Name a CSV file.")
    separator = _separator(place, text)
    names = _header(place, text, separator)
    try:
        return pd.read_csv(
            io.StringIO(text),
            sep=separator,
            names=names,
            header=0,
            decimal=_decimal_mark(text, separator),
            low_memory=False,
            index_col=False,
        )
    except pd.errors.ParserError as problem:
        raise ValueError(
            f"{place}: got rows of different lengths ({str(problem).strip()}); expected {len(names)} cells in each. "
            "Mend that line, or quote cells that hold the separator."
        ) from None


def _separator(place: Path, text: str) -> str:
    if place.suffix.lower() == ".tsv":
        return "\t"
    header = text.lstrip("\n\r").split("\n", 1)[0]
    return max(",;\t|", key=header.count)


def _decimal_mark(text: str, separator: str) -> str:
    """Return a comma when that is what numbers are mostly written with, which only another separator allows."""
    if separator == ",":
        return "."
    peeked = text[:100_000]
    edge = re.escape(separator)
    commas, points = (
        len(re.findall(rf"(?:^|{edge})\s*-?\d+{mark}\d+\s*(?={edge}|$)", peeked, re.MULTILINE)) for mark in (",", r"\.")
    )
    return "," if commas > points else "."


def _header(place: Path, text: str, separator: str) -> list[str]:
    """Return the column names; refuse rows that are longer than the header, and a header of numbers."""
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    header = next(row for row in rows if row)
    for row in islice(rows, PEEKED_ROWS):
        if len(row) > len(header):
            raise ValueError(
                f"{place}: got rows of different lengths: {len(row)} cells in line {rows.line_num} below a header of "
                f"{len(header)}; expected as many. Mend that line, or quote cells that hold the separator."
            )
    if all(_is_number(name) for name in header):
        raise ValueError(
            f"{place}: got a first line of numbers ({', '.join(header[:3])}, …); expected column names. "
            "Add a header line."
        )
    names = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(header)]
    refuse_duplicates(names, str(place))
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
