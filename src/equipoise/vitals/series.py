"""One quantity over a training of any length, in a bounded number of buckets."""

from typing import Any

import numpy as np

LIMIT = 512
"""Most closed buckets of a series; when they are full, neighbours are merged and buckets get twice as wide."""


class Series:
    """Minimum, median and maximum of neighbouring measurements.

    A bucket holds `width` measurements; `width` starts at 1 and doubles whenever `LIMIT` buckets are full. Minimum and
    maximum are exact for ever. The median of a bucket is exact when it closes; merging takes the mean of two
    neighbours' medians. What is held does not depend on whether measurements came one by one or many at a time.
    """

    def __init__(self, name: str, unit: str, part: str) -> None:
        self.name = name
        self.unit = unit
        self.part = part
        self.width = 1
        self._buckets: list[tuple[int, float, float, float]] = []  # last step, median, low, high
        self._open: list[tuple[int, float]] = []  # measurements of the bucket that is not full yet

    def add(self, steps: np.ndarray, values: np.ndarray) -> None:
        """Add measurements in the order of their steps (both 1-d, of one length)."""
        if self.width == 1 and len(values) == 1 and len(self._buckets) < LIMIT - 1:  # the common case, cheaply
            value = float(values[0])
            self._buckets.append((int(steps[0]), value, value, value))
            return
        if self._open:
            steps = np.concatenate((np.array([step for step, _ in self._open], np.int64), steps))
            values = np.concatenate((np.array([value for _, value in self._open]), values))
        start = 0
        while len(values) - start >= self.width:
            count = min((len(values) - start) // self.width, LIMIT - len(self._buckets))
            stop = start + count * self.width
            block = np.asarray(values[start:stop], np.float64).reshape(count, self.width)
            last = np.asarray(steps[start:stop]).reshape(count, self.width)[:, -1]
            rows = (last, np.median(block, 1), block.min(1), block.max(1))
            self._buckets.extend(zip(*(row.tolist() for row in rows), strict=True))
            start = stop
            if len(self._buckets) == LIMIT:
                self._merge()
        self._open = list(zip(np.asarray(steps[start:]).tolist(), map(float, values[start:]), strict=True))

    def buckets(self) -> list[tuple[int, float, float, float]]:
        """Return (last step, median, minimum, maximum) of every bucket, the one that is not full yet included."""
        if not self._open:
            return list(self._buckets)
        values = np.array([value for _, value in self._open])
        tail = (self._open[-1][0], float(np.median(values)), float(values.min()), float(values.max()))
        return [*self._buckets, tail]

    def state(self) -> dict[str, Any]:
        """Return everything held, as plain values."""
        return {
            "name": self.name,
            "unit": self.unit,
            "part": self.part,
            "width": self.width,
            "buckets": self._buckets,
            "open": self._open,
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Series":
        """Return the series of a `state`."""
        series = cls(state["name"], state["unit"], state["part"])
        series.width = state["width"]
        series._buckets = [tuple(bucket) for bucket in state["buckets"]]
        series._open = [(step, value) for step, value in state["open"]]
        return series

    def _merge(self) -> None:
        left, right = self._buckets[::2], self._buckets[1::2]
        self._buckets = [
            (b[0], (a[1] + b[1]) / 2, _least(a[2], b[2]), _most(a[3], b[3])) for a, b in zip(left, right, strict=True)
        ]
        self.width *= 2


def _least(a: float, b: float) -> float:
    """Return the smaller one; not a number when one of them is not, so that it cannot vanish in a merge."""
    return a if a != a or a <= b else b


def _most(a: float, b: float) -> float:
    return a if a != a or a >= b else b
