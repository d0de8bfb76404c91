"""Many quantities measured at the same steps, each in the same bounded number of buckets."""

from typing import Any

import numpy as np

from equipoise.vitals.series import LIMIT


class Bundle:
    """Minimum, median and maximum of neighbouring measurements, for many quantities at once.

    What `Series` is for one quantity, with the same rule for merging, at the price of one for all of them: a bucket
    holds `width` steps, which doubles whenever `LIMIT` buckets are full. Quantities are told apart by name and part.

    Args:
        gaps: Whether NaN means that nothing was measured, which is left out where something was; otherwise NaN is a
            value that must not vanish.
    """

    def __init__(self, *, gaps: bool) -> None:
        self._gaps = gaps
        self._least, self._most = (np.fmin, np.fmax) if gaps else (np.minimum, np.maximum)
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
            closed = self._closing(block)
            self._steps = np.concatenate((self._steps, self._open_steps[:stop].reshape(count, -1)[:, -1]))
            self._closed = np.concatenate((self._closed, closed), 1)
            self._open_steps, self._open = self._open_steps[stop:], self._open[stop:]
            if len(self._steps) == LIMIT:
                self._merge()

    def buckets(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (B,) last steps of the buckets and (3, B, K) median, minimum and maximum, the open bucket included."""
        if not len(self._open):
            return self._steps, self._closed
        tail = self._closing(self._open[None])
        return np.append(self._steps, self._open_steps[-1]), np.concatenate((self._closed, tail), 1)

    def state(self) -> dict[str, Any]:
        """Return everything held, as plain values."""
        return {
            "gaps": self._gaps,
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
        bundle = cls(gaps=state["gaps"])
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

    def _closing(self, block: np.ndarray) -> np.ndarray:
        """Return median, minimum and maximum (3, B, K) of (B, width, K) measurements."""
        if block.shape[1] == 1:
            return np.stack((block[:, 0],) * 3)
        median = self._middle(block[:, 0], block[:, 1]) if block.shape[1] == 2 else self._median(block)
        return np.stack((median, self._least.reduce(block, 1), self._most.reduce(block, 1)))

    def _median(self, block: np.ndarray) -> np.ndarray:
        if not self._gaps:
            return np.median(block, 1)
        ordered = np.sort(np.moveaxis(block, 1, -1), -1)  # NaN comes last
        width = ordered.shape[-1]
        count = width - np.isnan(ordered).sum(-1, keepdims=True)
        low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, -1)
        high = np.take_along_axis(ordered, np.minimum(count // 2, width - 1), -1)
        return np.where(count > 0, (low + high) / 2, np.nan)[..., 0]

    def _middle(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        both = (one + other) / 2
        if self._gaps:
            both = np.where(np.isnan(one), other, np.where(np.isnan(other), one, both))
        return both

    def _merge(self) -> None:
        left, right = self._closed[:, ::2], self._closed[:, 1::2]
        median = self._middle(left[0], right[0])
        self._closed = np.stack((median, self._least(left[1], right[1]), self._most(left[2], right[2])))
        self._steps = self._steps[1::2]
        self.width *= 2
