"""Detectors look at several windows at once: the longer the training, the more, so that they cost next to nothing."""

from collections.abc import Callable, Sequence

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.vitals.detectors.detector import Detector
from equipoise.vitals.window import Window

MOST = 1024
"""Sampled steps after which windows are looked at, however long the training."""
SHARE = 0.25
"""Before that, windows wait until they hold this share of the steps looked at so far."""


class Pool:
    """Hands windows to detectors, merged.

    A detector costs about as much for a window of a thousand steps as for one of 64. So windows wait until there are a
    quarter as many new steps as were looked at before, at most 1024: the first windows are looked at one by one, and
    what is new is never known later than a quarter of the training so far after it happened. A window with an event or
    a loss that is not finite is looked at at once. Memory is bounded by the windows of 1024 steps.
    """

    def __init__(
        self, detectors: Sequence[Detector], failed: Callable[[Detector, Exception], None] | None = None
    ) -> None:
        """Make a pool.

        Args:
            detectors: What looks at the windows.
            failed: Called with a detector that raised and what it raised; without it, exceptions are the caller's.
        """
        self._detectors = tuple(detectors)
        self._failed = failed
        self._waiting: list[Window] = []
        self._seen = 0

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Take in a window, and return what is newly established where it was time to look."""
        before: tuple[Symptom, ...] = ()
        last = self._waiting[-1] if self._waiting else None
        if last is not None and (last.layers != window.layers or last.weights != window.weights):
            before = self.flush()
        self._waiting.append(window)
        new = sum(len(one.steps) for one in self._waiting)
        urgent = bool(window.events) or not bool(np.isfinite(window.loss).all())
        if urgent or new >= min(MOST, SHARE * self._seen):
            return before + self.flush()
        return before

    def flush(self) -> tuple[Symptom, ...]:
        """Look at everything that waits, and return what is newly established."""
        if not self._waiting:
            return ()
        window = merged(self._waiting)
        self._waiting.clear()
        self._seen += len(window.steps)
        out: list[Symptom] = []
        for detector in self._detectors:
            try:
                out.extend(detector.observe(window))
            except Exception as problem:
                if self._failed is None:
                    raise
                self._failed(detector, problem)
        return tuple(out)


def merged(windows: Sequence[Window]) -> Window:
    """Return one window that holds what several windows of the same layers and parameters hold, in their order."""
    if len(windows) == 1:
        return windows[0]
    last = windows[-1]

    def joined(tables: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([table[name] for table in tables]) for name in tables[-1]}

    return Window(
        steps=np.concatenate([one.steps for one in windows]),
        loss=np.concatenate([one.loss for one in windows]),
        learning_rate=np.concatenate([one.learning_rate for one in windows]),
        layers=last.layers,
        activation=joined([one.activation for one in windows]),
        fired=tuple(np.sum([one.fired[k] for one in windows], axis=0) for k in range(len(last.layers))),
        seen=np.sum([one.seen for one in windows], axis=0),
        weights=last.weights,
        gradient=joined([one.gradient for one in windows]),
        weight=joined([one.weight for one in windows]),
        events=tuple(event for one in windows for event in one.events),
    )
