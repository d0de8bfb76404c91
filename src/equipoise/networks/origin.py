"""Where a foreign network came from and how it was fitted in: everything needed to fit it in again without trying."""

from typing import Literal

from equipoise.core.record import Record
from equipoise.core.surgeries import Surgery

Layout = Literal["as-is", "flat", "channels-last", "no-channel", "one-channel", "steps-last"]
Front = Literal["raw", "features", "columns", "categories"]
Output = Literal["logits", "probabilities", "values"]


class Origin(Record):
    """How a network made elsewhere became part of a `Network`.

    Attributes:
        kind: `module` (handed over in Python), `factory`, `keras` or `pt2`.
        factory: `module:function` that builds it.
        path: The file it was read from (`pt2` only, which no other file can replace).
        digest: SHA-256 of that file.
        keras: The configuration of the Keras model, as JSON.
        converted: Whether the Keras layers were replaced by torch's own.
        surgeries: What was changed in its module tree, in order.
        seed: Seed of the surgeries.
        stripped: Whether a softmax or sigmoid at the end was taken off.
        layout: How features are laid out for it; see `foreign.Arrange`.
        front: What is put in front of it: `raw` nothing, `features` the fitted pre-processing with one-hot categories
            and missing indicators, `categories` the same without indicators, `columns` only the imputed columns.
        standardise: Whether inputs and targets are standardised.
        standardise_targets: Whether targets alone are.
        output: What it returns.
        pair: Whether a binary network has two units.
        steps_last: Whether sequence labels come as (n, classes, steps).
        code: Width of the embedding (clustering).
    """

    kind: Literal["module", "factory", "keras", "pt2"] = "module"
    factory: str = ""
    path: str = ""
    digest: str = ""
    keras: str = ""
    converted: bool = False
    surgeries: tuple[Surgery, ...] = ()
    seed: int = 0
    stripped: bool = False
    layout: Layout = "as-is"
    front: Front = "raw"
    standardise: bool = False
    standardise_targets: bool = False
    output: Output = "logits"
    pair: bool = False
    steps_last: bool = False
    code: int = 0
