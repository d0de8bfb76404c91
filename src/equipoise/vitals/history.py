"""The training history: bounded in memory however long the training, readable while it runs."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.atomic import write_with
from equipoise.core.vital import Vital
from equipoise.vitals.series import Series

_TRAINING = ("loss", "gradient_norm", "learning_rate")


class History:
    """Loss, gradient norm and learning rate of training steps; loss and score on validation.

    Steps are optimiser steps, counted from 1. The score is the task's own (see `stats.metrics.score_name`).
    """

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = {}

    def record_step(self, step: int, loss: float, gradient_norm: float, learning_rate: float) -> None:
        """Record one training step; NaN for what was not measured at this step."""
        here = np.array([step])
        for name, value in zip(_TRAINING, (loss, gradient_norm, learning_rate), strict=True):
            if not math.isnan(value) or name == "loss":
                self._of(name, "train").add(here, np.array([value]))

    def record_steps(self, steps: np.ndarray, losses: np.ndarray) -> None:
        """Record the losses of many training steps at once (both 1-d, of one length)."""
        self._of("loss", "train").add(steps, losses)

    def record_sampled(self, steps: np.ndarray, gradient_norms: np.ndarray, learning_rates: np.ndarray) -> None:
        """Record gradient norm and learning rate of the steps at which they were measured (all 1-d, of one length)."""
        self._of("gradient_norm", "train").add(steps, gradient_norms)
        self._of("learning_rate", "train").add(steps, learning_rates)

    def record_epoch(self, step: int, loss: float, score: float) -> None:
        """Record loss and score on the validation part, as they were after `step`."""
        here = np.array([step])
        self._of("loss", "validation").add(here, np.array([loss]))
        self._of("score", "validation").add(here, np.array([score]))

    def vitals(self) -> tuple[Vital, ...]:
        """Return every quantity as a record."""
        return tuple(_vital(series) for series in self._series.values())

    def write(self, path: Path) -> None:
        """Write the history as Parquet, atomically: a reader sees the old file or the new one.

        One row a bucket: `name`, `part`, `unit`, `step` (last of the bucket), `value` (median), `low`, `high`.

        Raises:
            OSError: The disk is full or the folder cannot be written; what stood there stays whole.
        """
        import pyarrow as pa  # imported here: a fit without a folder does not need it
        from pyarrow import parquet

        names = ("name", "part", "unit", "step", "value", "low", "high")
        rows = [(s.name, s.part, s.unit, *bucket) for s in self._series.values() for bucket in s.buckets()]
        types = (pa.string(), pa.string(), pa.string(), pa.int64(), pa.float64(), pa.float64(), pa.float64())
        columns = [pa.array([row[i] for row in rows], type=kind, from_pandas=False) for i, kind in enumerate(types)]
        table = pa.Table.from_arrays(columns, names=list(names))
        write_with(path, lambda temporary: parquet.write_table(table, temporary))

    def state(self) -> dict[str, Any]:
        """Return everything held, as plain values for a checkpoint."""
        return {"series": [series.state() for series in self._series.values()]}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "History":
        """Return the history of a `state`."""
        history = cls()
        for one in state["series"]:
            series = Series.restored(one)
            history._series[series.name, series.part] = series
        return history

    def _of(self, name: str, part: str) -> Series:
        if (name, part) not in self._series:
            self._series[name, part] = Series(name, "1", part)  # every one of them is dimensionless
        return self._series[name, part]


def _vital(series: Series) -> Vital:
    buckets = series.buckets()
    return Vital(
        name=series.name,
        unit=series.unit,
        part=series.part,
        steps=tuple(bucket[0] for bucket in buckets),
        values=tuple(bucket[1] for bucket in buckets),
        low=tuple(bucket[2] for bucket in buckets),
        high=tuple(bucket[3] for bucket in buckets),
    )
