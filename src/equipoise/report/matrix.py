"""A matrix of counts as a shaded table, or as a picture when it has too many classes to read."""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from equipoise.core.figure import Matrix
from equipoise.report.numbers import number, plural

MOST_READABLE = 16
_MOST_PIXELS = 400
_LISTED = 12
# One hue whose transparency carries the size, so that the picture suits light and dark paper alike.
_HUE = (62, 126, 190)


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry: its text, its shade in percent, and whether row and column have one name."""

    text: str
    shade: int
    diagonal: bool


@dataclass(frozen=True, slots=True)
class MatrixView:
    """What the page shows: rows of cells, or a picture and the largest entries off the diagonal."""

    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    picture: str
    largest: tuple[tuple[str, str, str], ...]
    note: str
    description: str
    square: bool


def matrix_view(matrix: Matrix) -> MatrixView:
    """Return a matrix as readable cells up to 16 by 16, else as a picture with its largest confusions listed.

    When rows and columns have the same names each row is shaded by its share of the row, else by its share of the
    largest entry. Entries that are not finite are shown as such and not shaded.
    """
    values = _rectangle(matrix)
    square = matrix.rows == matrix.columns
    shades = _shades(values, by_row=square)
    largest = _largest(matrix, values) if square else ()
    description = _description(matrix, values, largest)
    note = "Each row is shaded by its share of the row." if square else "Shaded by size."
    if max(values.shape, default=0) <= MOST_READABLE:
        rows = tuple(
            (name, tuple(_cell(values, shades, row, column, square) for column in range(len(matrix.columns))))
            for row, name in enumerate(matrix.rows)
        )
        return MatrixView(rows, "", (), note, description, square)
    listed = _largest(matrix, values, everything=True) if not square else largest
    return MatrixView((), _picture(shades), listed[:_LISTED], note, description, square)


def _rectangle(matrix: Matrix) -> np.ndarray:
    """Return the values as (rows, columns); what is missing is not a number."""
    filled = np.full((len(matrix.rows), len(matrix.columns)), math.nan)
    for row, values in enumerate(matrix.values[: len(matrix.rows)]):
        kept = values[: len(matrix.columns)]
        filled[row, : len(kept)] = kept
    return filled


def _shades(values: np.ndarray, *, by_row: bool) -> np.ndarray:
    sizes = np.where(np.isfinite(values), np.abs(values), 0.0)
    if not sizes.size:
        return sizes
    whole = sizes.sum(axis=1, keepdims=True) if by_row else np.full((len(sizes), 1), sizes.max())
    return sizes / np.where((whole > 0) & np.isfinite(whole), whole, 1.0)


def _cell(values: np.ndarray, shades: np.ndarray, row: int, column: int, square: bool) -> Cell:
    shade = float(shades[row, column])
    # A square root lets a single confusion among hundreds still be seen.
    return Cell(number(float(values[row, column])), round(100 * math.sqrt(shade)), square and row == column)


def _largest(matrix: Matrix, values: np.ndarray, *, everything: bool = False) -> tuple[tuple[str, str, str], ...]:
    off = np.where(np.isfinite(values), values, 0.0)
    if not everything and off.size:
        np.fill_diagonal(off, 0.0)
    order = np.argsort(-off, axis=None, kind="stable")[:_LISTED]
    places = [divmod(int(one), off.shape[1]) for one in order] if off.size else []
    return tuple(
        (matrix.rows[row], matrix.columns[column], number(float(off[row, column])))
        for row, column in places
        if off[row, column] > 0
    )


def _description(matrix: Matrix, values: np.ndarray, largest: tuple[tuple[str, str, str], ...]) -> str:
    rows, columns = (plural(size, word) for size, word in zip(values.shape, ("row", "column"), strict=True))
    text = f"{matrix.title}: {rows} of {matrix.row_label}, {columns} of {matrix.column_label}."
    if largest:
        row, column, count = largest[0]
        text += f" Largest entry off the diagonal: {row} as {column}, {count}."
    return text


def _picture(shades: np.ndarray) -> str:
    """Return a PNG as base64: one pixel an entry, or the strongest of a block of entries when there are too many."""
    block = math.ceil(max(shades.shape) / _MOST_PIXELS)
    rows, columns = (-(-size // block) * block for size in shades.shape)
    padded = np.zeros((rows, columns))
    padded[: shades.shape[0], : shades.shape[1]] = shades
    blocks = padded.reshape(rows // block, block, columns // block, block).max(axis=(1, 3))
    pixels = np.empty((*blocks.shape, 4), dtype=np.uint8)
    pixels[..., :3] = _HUE
    pixels[..., 3] = np.round(255 * np.sqrt(np.clip(blocks, 0.0, 1.0)))
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
