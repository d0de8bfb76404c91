"""A window of vital signs as named numbers, few enough for a tracker of experiments."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from equipoise.vitals.window import Window


@dataclass(frozen=True, slots=True)
class Reading:
    """One number for a tracker.

    Attributes:
        name: The quantity, and after a slash the layer or parameter: `loss`, `activation_mean/encoder.0`.
        step: Optimiser step that it belongs to, counted from 1.
        value: The number; it may be infinite, never NaN.
    """

    name: str
    step: int
    value: float


def readings(window: Window) -> Iterator[Reading]:
    """Yield the loss and the learning rate of every step, and of everything else one number a window.

    That number is the median over the window's steps, the largest for `activation_maximum`, and the sum for counts of
    non-finite values; it stands at the window's last step. `dead_units/<layer>` is the share of units that were active
    on no value of the window. What was not measured is left out.
    """
    if len(window.steps) == 0:
        return
    for name, values in (("loss", window.loss), ("learning_rate", window.learning_rate)):
        for step, value in zip(window.steps.tolist(), values.tolist(), strict=True):
            if value == value:
                yield Reading(name, step, value)
    last = int(window.steps[-1])
    layers = tuple(layer.name for layer in window.layers)
    weights = tuple(one.name for one in window.weights)
    yield from _summaries("activation", layers, window.activation, last)
    for name, fired, seen in zip(layers, window.fired, window.seen.tolist(), strict=True):
        if seen > 0 and len(fired):
            yield Reading(f"dead_units/{name}", last, float(np.mean(fired == 0)))
    yield from _summaries("gradient", weights, window.gradient, last)
    yield from _summaries("weight", weights, window.weight, last)


def _summaries(group: str, names: tuple[str, ...], columns: dict[str, np.ndarray], step: int) -> Iterator[Reading]:
    for quantity, values in columns.items():
        for index, name in enumerate(names):
            measured = values[:, index][~np.isnan(values[:, index])]
            if len(measured):
                yield Reading(f"{group}_{quantity}/{name}", step, _summary(quantity, measured))


def _summary(quantity: str, measured: np.ndarray) -> float:
    if quantity == "non_finite":
        return float(measured.sum())
    if quantity == "maximum":
        return float(measured.max())
    ordered = np.sort(measured)  # the lower middle one, so that infinities never meet in a difference
    return float(ordered[(len(ordered) - 1) // 2])
