"""Figures as plain data: what to draw, never how. `report` draws them; questions only fill them."""

from typing import Annotated, Literal

from pydantic import Field

from equipoise.core.record import Number, Record


class Series(Record):
    """One curve: `x` and `y` of equal length, with an optional band `low`..`high` of the same length."""

    name: str
    x: tuple[Number, ...]
    y: tuple[Number, ...]
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()
    style: Literal["line", "points", "dashed"] = "line"


class Curves(Record):
    """Curves over one pair of axes; `diagonal` draws y = x, `lines` are labelled horizontal lines."""

    kind: Literal["curves"] = "curves"
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    diagonal: bool = False
    lines: dict[str, Number] = Field(default_factory=dict)


class Bars(Record):
    """Horizontal bars with optional interval ends; one value a label."""

    kind: Literal["bars"] = "bars"
    title: str
    value_label: str
    labels: tuple[str, ...]
    values: tuple[Number, ...]
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()


class Matrix(Record):
    """A labelled matrix of counts, such as a confusion matrix; `values[row][column]`."""

    kind: Literal["matrix"] = "matrix"
    title: str
    row_label: str
    column_label: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[Number, ...], ...]


class Table(Record):
    """Rows of cells under column heads, already formatted as text."""

    kind: Literal["table"] = "table"
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Tile(Record):
    """One sample as a person would look at it.

    Attributes:
        caption: One short line under it.
        picture: A PNG as base64 text, or empty.
        overlay: A second PNG shown beside the first (an attribution, a corrupted copy), or empty.
        wave: Up to 400 amplitudes in [-1, 1], or empty.
        cells: Column name to shown value, for a row of a table.
        text: The text, for a text sample.
        weights: For `cells` or `text`: an attribution for each cell or each word, in [-1, 1].
    """

    caption: str
    picture: str = ""
    overlay: str = ""
    wave: tuple[Number, ...] = ()
    cells: dict[str, str] = Field(default_factory=dict)
    text: str = ""
    weights: tuple[Number, ...] = ()


class Gallery(Record):
    """Several samples side by side."""

    kind: Literal["gallery"] = "gallery"
    title: str
    tiles: tuple[Tile, ...]


Figure = Annotated[Curves | Bars | Matrix | Table | Gallery, Field(discriminator="kind")]
