"""One vital sign over the course of a training, bounded in size however long it ran."""

from typing import Self

from pydantic import model_validator

from equipoise.core.record import Number, Record


class Vital(Record):
    """A measured quantity over steps; each entry is a bucket of neighbouring steps.

    Attributes:
        name: What was measured, such as `loss` or `gradient_norm`.
        unit: Its unit, `1` when dimensionless.
        part: `train`, `validation` or a layer's name.
        steps: Last optimiser step of each bucket, increasing.
        values: Median of each bucket.
        low: Minimum of each bucket.
        high: Maximum of each bucket.
    """

    name: str
    unit: str
    part: str
    steps: tuple[int, ...]
    values: tuple[Number, ...]
    low: tuple[Number, ...]
    high: tuple[Number, ...]

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if not len(self.steps) == len(self.values) == len(self.low) == len(self.high):
            raise ValueError("steps, values, low and high of one length")
        return self
