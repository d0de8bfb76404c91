"""What a network takes and gives, as plain data: the part of pre-processing that is no tensor operation."""

from typing import Annotated, Literal

from pydantic import Field

from equipoise.core.record import Record

TaskKind = Literal[
    "binary",
    "multiclass",
    "multilabel",
    "regression",
    "sequence-labelling",
    "reconstruction",
    "clustering",
    "generation",
]


class Task(Record):
    """What is to be predicted.

    Attributes:
        kind: The kind of task.
        classes: Class names in the user's words, in index order (binary: two; multilabel: one a label).
        targets: Names of the target columns (regression: one an output).
        unit: The target's unit as shown to people, or empty.
        clusters: Number of clusters, for clustering.
    """

    kind: TaskKind
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    unit: str = ""
    clusters: int = 0

    @property
    def classifies(self) -> bool:
        """Whether each sample gets one class out of `classes` (binary or multiclass)."""
        return self.kind in ("binary", "multiclass")


class Column(Record):
    """One column of a table, and how its raw cells become numbers.

    Numeric cells become themselves, dates become days since 1970-01-01 (UTC), categories become their index in
    `categories` (an unseen or missing one becomes NaN). `format` says how dates given as text are written (`ISO8601`
    or a strptime format).

    `offset` is subtracted from numbers and days in float64, before they become float32, whose seven digits would not
    tell a column's values apart where they are large and lie close together (such as Unix time stamps). It is fitted
    on the training part, and 0 for ordinary columns.
    """

    name: str
    kind: Literal["numeric", "category", "date"]
    categories: tuple[str, ...] = ()
    format: str = "ISO8601"
    offset: float = 0.0


class TableInput(Record):
    """Rows of a table; the raw tensor is float32 of shape (n, columns), NaN where missing."""

    kind: Literal["table"] = "table"
    columns: tuple[Column, ...]


class ImageInput(Record):
    """Images brought to one size and mode; the raw tensor is float32 of shape (n, channels, height, width) in 0..255.

    `low` and `high` state the range when an array of images uses another one (such as 0..16 or 0..1).
    """

    kind: Literal["image"] = "image"
    channels: int
    height: int
    width: int
    low: float = 0.0
    high: float = 255.0


class SoundInput(Record):
    """Mono waveforms brought to one rate and length; the raw tensor is float32 of shape (n, samples) in -1..1."""

    kind: Literal["sound"] = "sound"
    sample_rate: int
    samples: int


class TextInput(Record):
    """Texts as token ids; the raw tensor is int64 of shape (n, length), 0 = padding, 1 = unknown.

    `tokenizer` is the JSON of a `tokenizers.Tokenizer`.
    """

    kind: Literal["text"] = "text"
    length: int
    vocabulary: int
    tokenizer: str


class ArrayInput(Record):
    """Numeric arrays as they are; the raw tensor is float32 of shape (n, *shape).

    `axes` says what the axes mean: `features` (one axis), `steps,features` (a sequence) or `any`.
    """

    kind: Literal["array"] = "array"
    shape: tuple[int, ...]
    axes: Literal["features", "steps,features", "any"] = "features"


InputSpec = Annotated[TableInput | ImageInput | SoundInput | TextInput | ArrayInput, Field(discriminator="kind")]


class Signature(Record):
    """What goes into a network (raw) and what comes out (in the user's units)."""

    inputs: InputSpec
    task: Task
