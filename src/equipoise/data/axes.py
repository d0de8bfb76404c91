"""Decides what the axes of an array mean, and brings arrays into the raw form of a network's inputs."""

from typing import Literal

import numpy as np

from equipoise.core.signature import ArrayInput, ImageInput

Axes = Literal["features", "steps,features", "image", "any"]


def numeric(array: np.ndarray, what: str) -> np.ndarray:
    """Return an array of numbers as it is, or refuse it.

    Args:
        array: Any array.
        what: What the message calls it.

    Raises:
        ValueError: Objects (ragged or mixed), words, complex numbers, NaN, infinite numbers or numbers beyond float32.
    """
    if array.dtype.kind == "O":
        shapes = {np.shape(one) for one in array.flat}
        kind = f"ragged rows of {len(shapes)} different shapes" if len(shapes) > 1 else "objects of mixed types"
        raise ValueError(
            f"got {what} as an object array ({kind}); expected numbers of one shape. Pad or cut the samples to one "
            "shape and convert them to float32."
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"got {what} of type {array.dtype}; expected numbers. Convert them, or hand over a DataFrame for words "
            "and dates."
        )
    if array.dtype.kind == "f":
        missing = int(np.isnan(array).sum())
        if missing:
            raise ValueError(
                f"got {missing:,} NaN in {what} of shape {array.shape}; expected numbers only. Fill them in, remove "
                "these samples, or hand over a table, whose gaps are imputed and counted."
            )
        too_large = int((np.abs(array) > np.finfo(np.float32).max).sum())
        if too_large:
            raise ValueError(
                f"got {too_large:,} infinite or too large numbers in {what}; expected finite numbers up to "
                f"{np.finfo(np.float32).max:.3g}. Mend or remove these samples."
            )
    return array


def array_spec(inputs: np.ndarray, axes: Axes | None) -> tuple[ArrayInput | ImageInput, np.ndarray, str]:
    """Return what the inputs are, the inputs as float32 in that form, and the reason.

    Without `axes`: (n, features) are features; (n, height, width) of bytes and (n, height, width, channels) or
    (n, channels, height, width) with 1 or 3 channels are images; other (n, steps, features) are sequences.

    Args:
        inputs: Numbers, shape (n, ...).
        axes: What the user says the axes of a sample are.

    Raises:
        ValueError: The shape does not fit the axes.
    """
    why = f"axes {axes}: asked for"
    if axes is None:
        axes = _axes(inputs)
        why = f"axes {axes}: taken from the shape {inputs.shape[1:]} and type {inputs.dtype} of a sample"
    if inputs.ndim == 1 and axes in ("features", "any"):
        inputs = inputs[:, None]
    ranks = {"features": (2,), "steps,features": (3,), "image": (3, 4), "any": tuple(range(2, 9))}[axes]
    if inputs.ndim not in ranks or 0 in inputs.shape[1:]:
        wanted = " or ".join(str(rank) for rank in ranks[:2])
        raise ValueError(
            f"got inputs of shape {inputs.shape} with axes {axes!r}; expected {wanted} axes (the first counts "
            "samples), none empty. Reshape the inputs or choose other axes."
        )
    if axes == "image":
        pictures = channels_first(inputs)
        low, high = value_range(inputs)
        channels, height, width = pictures.shape[1:]
        spec = ImageInput(channels=channels, height=height, width=width, low=low, high=high)
        return spec, pictures.astype(np.float32), f"{why}; pixel range {low:g} to {high:g}"
    return ArrayInput(shape=inputs.shape[1:], axes=axes), inputs.astype(np.float32), why


def channels_first(images: np.ndarray) -> np.ndarray:
    """Return images (n, height, width), (n, height, width, channels) or (n, channels, height, width) as the last form.

    Raises:
        ValueError: Neither the second nor the last axis has 1 or 3 entries.
    """
    if images.ndim == 3:
        return images[:, None]
    if images.shape[1] in (1, 3):
        return images
    if images.shape[-1] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    raise ValueError(
        f"got images of shape {images.shape}; expected 1 or 3 channels in the second or the last axis. Convert them to "
        "grey or colour, or choose axes 'any'."
    )


def value_range(images: np.ndarray) -> tuple[float, float]:
    """Return the lowest and highest value that pixels may have: 0..1, -1..1, 0..255, or what was seen."""
    low, high = float(images.min()), float(images.max())
    if images.dtype.kind in "iu" and low >= 0 and 16 < high <= 255:
        return 0.0, 255.0
    for floor, ceiling in ((0.0, 1.0), (-1.0, 1.0)):
        if floor <= low and high <= ceiling:
            return floor, ceiling
    if low >= 0 and 100 < high <= 255:
        return 0.0, 255.0
    return min(low, 0.0), high


def _axes(inputs: np.ndarray) -> Axes:
    if inputs.ndim <= 2:
        return "features"
    if inputs.ndim == 3:
        return "image" if inputs.dtype == np.uint8 and min(inputs.shape[1:]) >= 4 else "steps,features"
    if inputs.ndim == 4 and (inputs.shape[1] in (1, 3) or inputs.shape[-1] in (1, 3)):
        return "image"
    return "any"
