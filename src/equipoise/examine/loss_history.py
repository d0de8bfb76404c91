"""What the recorded losses of a training say: where they began, where they went, and where they were going."""

import numpy as np

from equipoise.core.estimate import Estimate
from equipoise.core.figure import Curves, Series
from equipoise.core.vital import Vital
from equipoise.stats.intervals import difference_of_means

ENOUGH = 8
"""Fewer recorded losses than this show no trend."""


def loss_of(vitals: tuple[Vital, ...], part: str) -> Vital | None:
    """Return the recorded loss of the `train` or `validation` part, or None."""
    return next((one for one in vitals if one.name == "loss" and one.part == part and one.values), None)


def last_quarter_fall(loss: Vital, start: float) -> Estimate | None:
    """Return how far a loss fell from the third to the last quarter of its records, as a share of `start`.

    The interval is Welch's over the records, which is wide where the loss moves within a quarter. None with fewer than
    `ENOUGH` records, one that is not finite, or a `start` that is no positive number.
    """
    values = np.asarray(loss.values)
    if len(values) < ENOUGH or not np.isfinite(values).all() or not (np.isfinite(start) and start > 0):
        return None
    quarter = len(values) // 4
    fall = difference_of_means(values[-2 * quarter : -quarter], values[-quarter:])
    return fall.replace(value=fall.value / start, low=fall.low / start, high=fall.high / start, unit="1")


def loss_curves(train: Vital | None, validation: Vital | None) -> Curves:
    """Return the curves of both losses: the training loss with its band, on a log axis where it spans decades."""
    kept = [one for one in (train, validation) if one is not None]
    finite = [value for one in kept for value in one.values if np.isfinite(value)]
    return Curves(
        title="The loss during training",
        x_label="step",
        y_label=f"loss ({kept[0].unit})" if kept else "loss",
        series=tuple(_series(one) for one in kept),
        log_y=bool(finite) and min(finite) > 0 and max(finite) > 20 * min(finite),
    )


def _series(one: Vital) -> Series:
    good = [k for k, value in enumerate(one.values) if np.isfinite(value)]
    band = all(np.isfinite(one.low[k]) and np.isfinite(one.high[k]) for k in good) and one.part == "train"
    return Series(
        name=one.part,
        x=tuple(float(one.steps[k]) for k in good),
        y=tuple(one.values[k] for k in good),
        low=tuple(one.low[k] for k in good) if band else (),
        high=tuple(one.high[k] for k in good) if band else (),
    )
