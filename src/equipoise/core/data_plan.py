"""The data part of a plan: where samples come from, what is predicted and how they are split."""

from typing import Annotated, Literal

from pydantic import Field

from equipoise.core.record import Record
from equipoise.core.signature import TaskKind

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]


class Split(Record):
    """How samples are divided into train, validation and test.

    Attributes:
        method: `stratified` by class (random for regression), `random`, by `group` (no group in two parts), or by
            `time` (the latest rows are the test part).
        validation: Share of all samples for validation.
        test: Share of all samples for the test.
        column: The group or time column (tables), or the name of the array of an `.npz`.
        seed: Seed of the division; without one, the seed of the fit.
    """

    method: Literal["stratified", "random", "group", "time"] = "stratified"
    validation: Share = 0.15
    test: Share = 0.2
    column: str | None = None
    seed: int | None = None


class TrainingPart(Record):
    """What is done to the training part before training; validation and test stay as they are.

    Attributes:
        remove_duplicates: Whether rows are removed that repeat an earlier one or are in another part too.
        prune_labels: Whether rows are removed whose label is very likely wrong (Northcutt, Jiang and Chuang, JAIR
            2021), judged by networks of the plan that have not seen them.
        synthetic: Where added samples come from: `gan` and `autoencoder` are fitted on the training part,
            `simulation` asks `simulator`.
        synthetic_share: Number of added samples, as a share of the training part.
        simulator: `module:function` that is called with a number of samples and a seed, and returns their inputs and
            targets as the data have them.
        reduction: Fixed first layer, fitted on the training part: `pca` (principal components, whitened), `lda`
            (directions that tell the classes apart), `information` (the features that say something about the target).
        components: Numbers that are left; without it, as many as hold 95 % of the variance (pca), classes less one
            (lda), or all features that say more than chance (information).
    """

    remove_duplicates: bool = False
    prune_labels: bool = False
    synthetic: Literal["none", "gan", "autoencoder", "simulation"] = "none"
    synthetic_share: Annotated[float, Field(gt=0.0)] = 0.5
    simulator: str = ""
    reduction: Literal["none", "pca", "lda", "information"] = "none"
    components: Count | None = None


class DataSource(Record):
    """What every source of data has.

    Attributes:
        task: What is to be predicted; without it, chosen from the target.
        split: The division into parts.
        clusters: Number of clusters when the task is `clustering`.
        streamed: Whether samples are read batch by batch; without it, chosen by their size and the free memory.
        training: What is done to the training part before training.
    """

    task: TaskKind | None = None
    split: Split = Split()
    clusters: Annotated[int, Field(ge=2)] | None = None
    streamed: bool | None = None
    training: TrainingPart = TrainingPart()


class BundledData(DataSource):
    """Real data that scikit-learn ships. `side` enlarges the digits to side x side pixels."""

    source: Literal["bundled"] = "bundled"
    name: Literal["digits", "breast-cancer", "diabetes", "wine", "iris"]
    side: Count | None = None
    layout: Literal["image", "sequence"] = "image"


class GeneratedData(DataSource):
    """Data that a named generator makes from a seed; `n` samples.

    `linear` (10 inputs, one target, noise 0.1), `noise` (the same shape, target independent of the inputs), `xor`,
    `sequences` (which of two patterns came first), `photographs` (a folder of crops of two real photographs),
    `tones` (a folder of WAV files), `reviews` (a CSV of sentences).
    """

    source: Literal["generated"] = "generated"
    name: Literal["linear", "noise", "xor", "sequences", "photographs", "tones", "reviews"]
    n: Count | None = None
    seed: int = 0


class TableData(DataSource):
    """A CSV or Parquet file. `targets` are the columns to predict; `ignore` names columns to leave out."""

    source: Literal["table"] = "table"
    path: str
    targets: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


class ImageData(DataSource):
    """A folder of images, one sub-folder a class. Without `height` and `width` the median size is taken, at most 64."""

    source: Literal["images"] = "images"
    path: str
    height: Count | None = None
    width: Count | None = None
    mode: Literal["grey", "colour"] | None = None


class SoundData(DataSource):
    """A folder of WAV or FLAC files: one sub-folder a class, or a CSV `labels` with columns `file` and the target."""

    source: Literal["sound"] = "sound"
    path: str
    labels: str | None = None
    target: str | None = None
    sample_rate: Count | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None


class TextData(DataSource):
    """A folder of `.txt` files, one sub-folder a class, or a table with a text column and a target column."""

    source: Literal["text"] = "text"
    path: str
    text: str | None = None
    target: str | None = None
    vocabulary: Annotated[int, Field(ge=16)] = 4000
    length: Count | None = None


class ArrayFile(DataSource):
    """Arrays of an `.npz` file, by name; `axes` says what the axes of a sample mean."""

    source: Literal["arrays"] = "arrays"
    path: str
    inputs: str | None = None
    target: str | None = None
    axes: Literal["features", "steps,features", "image", "any"] | None = None


class FactoryData(DataSource):
    """`module:function` that returns (inputs, targets), a `torch.utils.data.Dataset` or a `DataFrame`."""

    source: Literal["factory"] = "factory"
    factory: str
    targets: tuple[str, ...] = ()


class HuggingFaceData(DataSource):
    """A Hugging Face dataset on disk (`save_to_disk`); needs the extra `huggingface`."""

    source: Literal["huggingface"] = "huggingface"
    path: str
    inputs: tuple[str, ...] = ()
    target: str | None = None


class GivenData(DataSource):
    """Data handed over in Python; a plan with it can be re-run only from Python, with the same data."""

    source: Literal["given"] = "given"
    targets: tuple[str, ...] = ()
    digest: str = ""


DataPlan = Annotated[
    BundledData
    | GeneratedData
    | TableData
    | ImageData
    | SoundData
    | TextData
    | ArrayFile
    | FactoryData
    | HuggingFaceData
    | GivenData,
    Field(discriminator="source"),
]
