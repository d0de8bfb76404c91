"""The training history: bounded in memory however long the training, readable while it runs."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.atomic import write_with
from equipoise.core.vital import Vital
from equipoise.vitals.bundle import Bundle
from equipoise.vitals.series import Series
from equipoise.vitals.window import Window

_TRAINING = ("loss", "gradient_norm", "learning_rate")
_AT_ONCE = 65_536
"""Values that are sorted into buckets at once: half a megabyte."""


class History:
    """Loss, gradient norm and learning rate of training steps; loss and score on validation; every layer's vital signs.

    Steps are optimiser steps, counted from 1. The score is the task's own (see `stats.metrics.score_name`).
    """

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], Series] = {}
        self._whole = Bundle(gaps=False)  # of windows: loss, gradient norm and learning rate
        self._layers = Bundle(gaps=True)
        self._fresh: list[Window] = []  # not sorted in yet
        self._fresh_values = 0
        self._leave_out_whole = False

    def record_window(self, window: Window, *, whole: bool = True) -> None:
        """Record what was measured in a window: of the training as a whole, of every layer and of every parameter.

        Windows are sorted into buckets some at a time, or when somebody looks.

        Args:
            window: What was measured.
            whole: False leaves out what concerns the training as a whole, which is recorded otherwise.
        """
        self._leave_out_whole = not whole
        if len(window.steps):
            self._fresh.append(window)
            width = len(window.layers) * len(window.activation) + len(window.weights) * len(window.gradient) * 2
            self._fresh_values += len(window.steps) * width
            if self._fresh_values > _AT_ONCE:
                self._sort_in()

    def _sort_in(self) -> None:
        fresh, self._fresh_values = self._fresh, 0
        self._fresh = []
        for same in _of_one_shape(fresh):
            names, values = _table(same)
            steps = np.concatenate([one.steps for one in same])
            losses = np.concatenate([one.loss for one in same])
            norms = np.concatenate([one.gradient["norm"] for one in same])
            rates = np.concatenate([one.learning_rate for one in same])
            whole = np.stack((losses, np.sqrt(np.nansum(norms**2, 1)), rates), 1)
            if not self._leave_out_whole:
                self._whole.add([(name, "train") for name in _TRAINING], steps, whole)
            self._layers.add(names, steps, values)

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
        return tuple(
            Vital(
                name=name,
                unit="1",  # every one of them is dimensionless
                part=part,
                steps=tuple(bucket[0] for bucket in buckets),
                values=tuple(bucket[1] for bucket in buckets),
                low=tuple(bucket[2] for bucket in buckets),
                high=tuple(bucket[3] for bucket in buckets),
            )
            for name, part, buckets in self._all()
        )

    def write(self, path: Path) -> None:
        """Write the history as Parquet, atomically: a reader sees the old file or the new one.

        One row a bucket: `name`, `part`, `unit`, `step` (last of the bucket), `value` (median), `low`, `high`.

        Raises:
            OSError: The disk is full or the folder cannot be written; what stood there stays whole.
        """
        import pyarrow as pa  # imported here: a fit without a folder does not need it
        from pyarrow import parquet

        names = ("name", "part", "unit", "step", "value", "low", "high")
        rows = [(name, part, "1", *bucket) for name, part, buckets in self._all() for bucket in buckets]
        types = (pa.string(), pa.string(), pa.string(), pa.int64(), pa.float64(), pa.float64(), pa.float64())
        columns = [pa.array([row[i] for row in rows], type=kind, from_pandas=False) for i, kind in enumerate(types)]
        table = pa.Table.from_arrays(columns, names=list(names))
        write_with(path, lambda temporary: parquet.write_table(table, temporary))

    def state(self) -> dict[str, Any]:
        """Return everything held, as plain values for a checkpoint."""
        self._sort_in()
        bundles = {"whole": self._whole.state(), "layers": self._layers.state()}
        return {"series": [series.state() for series in self._series.values()], **bundles}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "History":
        """Return the history of a `state`."""
        history = cls()
        for one in state["series"]:
            series = Series.restored(one)
            history._series[series.name, series.part] = series
        if "layers" in state:
            history._whole, history._layers = Bundle.restored(state["whole"]), Bundle.restored(state["layers"])
        return history

    def _all(self) -> Iterator[tuple[str, str, list[tuple[int, float, float, float]]]]:
        """Yield name, part and buckets of every quantity."""
        self._sort_in()
        for series in self._series.values():
            yield series.name, series.part, series.buckets()
        for bundle in (self._whole, self._layers):
            steps, values = bundle.buckets()
            for at, (name, part) in enumerate(bundle.names):
                yield name, part, list(zip(steps.tolist(), *values[:, :, at].tolist(), strict=True))

    def _of(self, name: str, part: str) -> Series:
        if (name, part) not in self._series:
            self._series[name, part] = Series(name, "1", part)  # every one of them is dimensionless
        return self._series[name, part]


def _of_one_shape(windows: list[Window]) -> Iterator[list[Window]]:
    """Yield neighbouring windows that have the same layers and parameters."""
    together: list[Window] = []
    for window in windows:
        if together and (window.layers != together[-1].layers or window.weights != together[-1].weights):
            yield together
            together = []
        together.append(window)
    if together:
        yield together


def _table(windows: list[Window]) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Return name and part of every quantity of a layer or parameter, and their (S, K) values."""
    layers = [one.name for one in windows[0].layers]
    weights = [one.name for one in windows[0].weights]
    kinds = (("activation", layers), ("gradient", weights), ("weight", weights))
    names: list[tuple[str, str]] = []
    columns: list[np.ndarray] = []
    for kind, parts in kinds:
        for name in getattr(windows[0], kind):
            names += [(f"{kind}_{name}", part) for part in parts]
            columns.append(np.concatenate([getattr(one, kind)[name] for one in windows]))
    return names, np.hstack(columns)
