"""The numbers that pre-processing needs, fitted on the training part only. `networks` builds the module from them."""

from typing import Annotated, Literal

from pydantic import Field

from equipoise.core.record import Record


class TableNumbers(Record):
    """For each column of a table: what to impute, and how to scale; categories are one-hot encoded.

    `fill`, `mean` and `scale` have one entry a column (for category columns: 0, 0 and 1). A column with missing values
    in the training part (`missing` true) gets an extra indicator feature. `widths` is 1 for numeric and date columns
    and the number of categories for category columns. An all-constant numeric column has scale 1.
    """

    kind: Literal["table"] = "table"
    fill: tuple[float, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    missing: tuple[bool, ...]
    widths: tuple[int, ...]


class ImageNumbers(Record):
    """Mean and standard deviation a channel, in raw units."""

    kind: Literal["image"] = "image"
    mean: tuple[float, ...]
    scale: tuple[float, ...]


class SoundNumbers(Record):
    """Log-mel spectrogram settings and the mean and scale a mel band.

    The spectrum is taken with a Hann window of `window` samples every `hop` samples; `bands` mel bands cover 0 Hz to
    half the sample rate; features are log(power + floor).
    """

    kind: Literal["sound"] = "sound"
    sample_rate: int
    window: int
    hop: int
    bands: int
    floor: float
    mean: tuple[float, ...]
    scale: tuple[float, ...]


class ArrayNumbers(Record):
    """Mean and scale of each feature, along the last axis (`axes` "any": one pair for everything)."""

    kind: Literal["array"] = "array"
    mean: tuple[float, ...]
    scale: tuple[float, ...]


class NoNumbers(Record):
    """Nothing to fit: token ids, or a network that brings its own pre-processing."""

    kind: Literal["none"] = "none"


InputNumbers = Annotated[
    TableNumbers | ImageNumbers | SoundNumbers | ArrayNumbers | NoNumbers, Field(discriminator="kind")
]


class Projection(Record):
    """A linear map of the flattened features x: rows @ (x - mean), fitted as `origin` says."""

    kind: Literal["projection"] = "projection"
    origin: Literal["pca", "lda"]
    mean: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]


class Selection(Record):
    """Some of the flattened features, by position, out of `size`."""

    kind: Literal["selection"] = "selection"
    chosen: tuple[int, ...]
    size: int


Reduction = Annotated[Projection | Selection, Field(discriminator="kind")]


class Preprocessing(Record):
    """Everything fitted on the training part.

    Attributes:
        inputs: The inputs' numbers.
        target_mean, target_scale: The targets' (regression).
        reduction: What makes fewer numbers of the features, if anything does.
    """

    inputs: InputNumbers
    target_mean: tuple[float, ...] = ()
    target_scale: tuple[float, ...] = ()
    reduction: Reduction | None = None
