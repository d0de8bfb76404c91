"""Many quantities measured at the same steps, each in the same bounded number of buckets."""

from typing import Any

import numpy as np

from equipoise.vitals.series import LIMIT


class Bundle:
    """Minimum, median and maximum of neighbouring measurements, for many quantities at once.

    What `Series` is for one quantity, with the same rule for merging, at the price of one for all of them: a bucket
    holds `width` steps, which doubles whenever `LIMIT` buckets are full. NaN means not measured, and is left out where
    something was. Quantities are told apart by their name and part.
    """

    def __init__(self) -> None:
        self.names: list[tuple[str, str]] = []
        self.width = 1
        self._steps = np.empty(0, np.int64)
        self._closed = np.empty((3, 0, 0))  # median, low, high; buckets; quantities
        self._open_steps = np.empty(0, np.int64)
        self._open = np.empty((0, 0))

    def add(self, names: list[tuple[str, str]], steps: np.ndarray, values: np.ndarray) -> None:
        """Add (S, K) measurements of K named quantities at S increasing steps."""
        steps, values = np.asarray(steps, np.int64), self._arranged(names, np.asarray(values, np.float64))
        self._open_steps = np.concatenate((self._open_steps, steps))
        self._open = np.concatenate((self._open, values))
        while len(self._open) >= self.width:
            count = min(len(self._open) // self.width, LIMIT - len(self._steps))
            stop = count * self.width
            block = self._open[:stop].reshape(count, self.width, -1)
            closed = np.stack((_median(block, 1), np.fmin.reduce(block, 1), np.fmax.reduce(block, 1)))
            self._steps = np.concatenate((self._steps, self._open_steps[:stop].reshape(count, -1)[:, -1]))
            self._closed = np.concatenate((self._closed, closed), 1)
            self._open_steps, self._open = self._open_steps[stop:], self._open[stop:]
            if len(self._steps) == LIMIT:
                self._merge()

    def buckets(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (B,) last steps of the buckets and (3, B, K) median, minimum and maximum, the open bucket included."""
        if not len(self._open):
            return self._steps, self._closed
        tail = np.stack((_median(self._open, 0), np.fmin.reduce(self._open, 0), np.fmax.reduce(self._open, 0)))
        return np.append(self._steps, self._open_steps[-1]), np.concatenate((self._closed, tail[:, None]), 1)

    def state(self) -> dict[str, Any]:
        """Return everything held, as plain values."""
        return {
            "names": [list(name) for name in self.names],
            "width": self.width,
            "steps": self._steps.tolist(),
            "closed": self._closed.tolist(),
            "open_steps": self._open_steps.tolist(),
            "open": self._open.tolist(),
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Bundle":
        """Return the bundle of a `state`."""
        bundle = cls()
        count = len(state["names"])
        bundle.names = [(name, part) for name, part in state["names"]]
        bundle.width = state["width"]
        bundle._steps = np.array(state["steps"], np.int64)
        bundle._closed = np.array(state["closed"], np.float64).reshape(3, len(bundle._steps), count)
        bundle._open_steps = np.array(state["open_steps"], np.int64)
        bundle._open = np.array(state["open"], np.float64).reshape(len(bundle._open_steps), count)
        return bundle

    def _arranged(self, names: list[tuple[str, str]], values: np.ndarray) -> np.ndarray:
        if names == self.names:
            return values
        fresh = [name for name in names if name not in set(self.names)]
        if fresh:
            self.names = [*self.names, *fresh]
            self._closed = np.pad(self._closed, ((0, 0), (0, 0), (0, len(fresh))), constant_values=np.nan)
            self._open = np.pad(self._open, ((0, 0), (0, len(fresh))), constant_values=np.nan)
        arranged = np.full((len(values), len(self.names)), np.nan)
        places = {name: at for at, name in enumerate(self.names)}
        arranged[:, [places[name] for name in names]] = values
        return arranged

    def _merge(self) -> None:
        left, right = self._closed[:, ::2], self._closed[:, 1::2]
        both = (left[0] + right[0]) / 2
        median = np.where(np.isnan(left[0]), right[0], np.where(np.isnan(right[0]), left[0], both))
        self._closed = np.stack((median, np.fmin(left[1], right[1]), np.fmax(left[2], right[2])))
        self._steps = self._steps[1::2]
        self.width *= 2


def _median(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the median of what was measured; NaN where nothing was."""
    ordered = np.sort(values, axis)  # NaN comes last
    count = values.shape[axis] - np.isnan(values).sum(axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis)
    return np.squeeze(np.where(count > 0, (low + high) / 2, np.nan), axis)
