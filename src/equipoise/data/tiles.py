"""One raw sample as a person would look at it: a picture, a wave, cells or words."""

import base64
import io
import math
from datetime import datetime, timedelta

import numpy as np
import tokenizers
import torch
from PIL import Image
from torch import Tensor

from equipoise.core.figure import Tile
from equipoise.core.signature import ArrayInput, Column, ImageInput, InputSpec, SoundInput, TableInput, TextInput

PICTURE_SIDE = 96
"""Longer side of a picture, in pixels, at most; smaller ones are enlarged by a whole factor."""

WAVE_POINTS = 400
STRIP_HEIGHT = 16
"""Height of the strip that shows an attribution along a sound, in pixels."""

MOST_CELLS = 24
"""Arrays with more values are drawn as a wave."""

_NEGATIVE, _POSITIVE = np.array([33.0, 102.0, 172.0]), np.array([178.0, 24.0, 43.0])


def tile(
    spec: InputSpec, sample: Tensor, caption: str, *, overlay: Tensor | None = None, weights: Tensor | None = None
) -> Tile:
    """Return a tile that shows one sample.

    Args:
        spec: What the inputs are.
        sample: One raw sample, without the axis of samples.
        caption: A short line under it.
        overlay: Attribution of each pixel (height, width) or (channels, height, width), or of each sample of a sound;
            drawn from blue (against) over white (nothing) to red (for), scaled to its largest magnitude.
        weights: Attribution of each column, word or value; scaled to its largest magnitude.

    Returns:
        Images: a PNG enlarged to at most 96 pixels a side, grey for one channel, colour for three, else the mean of the
        channels. Sound: at most 400 amplitudes, of each stretch the largest. Tables: cells with categories, dates and
        gaps in words. Text: the words. Arrays: cells, or beyond 24 values a wave scaled to its largest magnitude.

    Raises:
        ValueError: Sample, overlay or weights of another shape, or an attribution that is not finite.
    """
    values = sample.detach().cpu()
    _check_shape(spec, values)
    if isinstance(spec, ImageInput):
        drawn = _png(_colours(_pixel_sums(_finite(overlay), spec).numpy())) if overlay is not None else ""
        return Tile(caption=caption, picture=_picture(values, spec), overlay=drawn)
    if isinstance(spec, SoundInput):
        strip = _strip(_finite(overlay), spec) if overlay is not None else ""
        return Tile(caption=caption, wave=_wave(values.to(torch.float64).clamp(-1, 1).numpy()), overlay=strip)
    if isinstance(spec, TableInput):
        cells = {column.name: cell(column, float(value)) for column, value in zip(spec.columns, values, strict=True)}
        return Tile(caption=caption, cells=cells, weights=_weights(weights, len(cells)))
    if isinstance(spec, TextInput):
        shown, places = _words(spec, values)
        return Tile(caption=caption, text=" ".join(shown), weights=_weights(weights, spec.length, places))
    return _array(spec, values, caption, weights)


def cell(column: Column, value: float) -> str:
    """Return a raw cell of a table as the user knows it: a category's name, a date, a number, or `missing`."""
    if not np.isfinite(value):
        return "missing" if np.isnan(value) else str(value)
    if column.kind == "category":
        inside = 0 <= round(value) < len(column.categories)
        return column.categories[round(value)] if inside else f"no category ({value:g})"
    if column.kind == "date":
        return _date(column.offset + value)
    if column.offset:
        return _with_offset(column.offset, value)
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _date(days: float) -> str:
    """Return a day, with hours and minutes where it is not midnight."""
    try:
        when = datetime(1970, 1, 1) + timedelta(minutes=round(days * 1440))
    except OverflowError:
        return f"{days:g} days after 1970-01-01"
    return when.date().isoformat() if when.hour == when.minute == 0 else when.isoformat(" ", "minutes")


def _with_offset(offset: float, value: float) -> str:
    """Return offset + value to four digits of the value, exact for whole numbers of any size."""
    if offset.is_integer() and value.is_integer():
        return f"{int(offset) + int(value):,}"
    decimals = min(max(3 - math.floor(math.log10(abs(value))), 0), 9) if value else 4
    shown = f"{offset + value:,.{decimals}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def _check_shape(spec: InputSpec, values: Tensor) -> None:
    expected: tuple[int, ...]
    if isinstance(spec, ImageInput):
        expected = (spec.channels, spec.height, spec.width)
    elif isinstance(spec, SoundInput):
        expected = (spec.samples,)
    elif isinstance(spec, TableInput):
        expected = (len(spec.columns),)
    elif isinstance(spec, TextInput):
        expected = (spec.length,)
    else:
        expected = spec.shape
    if tuple(values.shape) != expected:
        raise ValueError(
            f"got a sample of shape {tuple(values.shape)}; expected {expected}, one {spec.kind} sample without the "
            "axis of samples. Choose one with batch[i]."
        )


def _finite(attribution: Tensor) -> Tensor:
    values = attribution.detach().cpu().to(torch.float64)
    if not values.isfinite().all():
        raise ValueError(
            f"got an attribution with {int((~values.isfinite()).sum())} values that are NaN or infinite; expected "
            "finite ones. Check the method on this sample."
        )
    return values


def _picture(values: Tensor, spec: ImageInput) -> str:
    scaled = (values.to(torch.float64) - spec.low) * (255.0 / (spec.high - spec.low))
    if spec.channels not in (1, 3):
        scaled = scaled.mean(0, keepdim=True)
    drawn = scaled.nan_to_num().round().clamp(0, 255).to(torch.uint8).numpy()
    return _png(drawn[0] if len(drawn) == 1 else drawn.transpose(1, 2, 0))


def _png(pixels: np.ndarray) -> str:
    """Return pixels as PNG in base64; enlarged by a whole factor, so that each can be told, or reduced to fit."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    longer = max(image.size)
    factor = PICTURE_SIDE // longer
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    elif longer > PICTURE_SIDE:
        size = [max(1, round(side * PICTURE_SIDE / longer)) for side in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.BOX)
    return _encoded(image)


def _encoded(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _pixel_sums(attribution: Tensor, spec: ImageInput) -> Tensor:
    if attribution.shape == (spec.channels, spec.height, spec.width):
        attribution = attribution.sum(0)
    if attribution.shape != (spec.height, spec.width):
        raise ValueError(
            f"got an overlay of shape {tuple(attribution.shape)}; expected {(spec.height, spec.width)} or "
            f"{(spec.channels, spec.height, spec.width)}. Give one attribution a pixel."
        )
    return attribution


def _colours(attribution: np.ndarray) -> np.ndarray:
    """Return colours, uint8 (..., 3): white at 0, towards red above and blue below, full at the largest magnitude."""
    share = _to_unit(attribution)[..., None]
    end = np.where(share >= 0, _POSITIVE, _NEGATIVE)
    return np.rint(255.0 + np.abs(share) * (end - 255.0)).astype(np.uint8)


def _to_unit(values: np.ndarray) -> np.ndarray:
    largest = float(np.abs(values).max(initial=0.0))
    return values / largest if largest > 0 else np.zeros_like(values)


def _wave(amplitudes: np.ndarray) -> tuple[float, ...]:
    """Return at most 400 amplitudes: of each stretch the one with the largest magnitude, so that no peak is lost."""
    stretches = np.array_split(np.nan_to_num(amplitudes), min(WAVE_POINTS, len(amplitudes)))
    return tuple(round(float(one[np.abs(one).argmax()]), 4) for one in stretches)


def _strip(attribution: Tensor, spec: SoundInput) -> str:
    if attribution.shape != (spec.samples,):
        raise ValueError(
            f"got an overlay of shape {tuple(attribution.shape)}; expected ({spec.samples},). Give one attribution a "
            "sample of the recording."
        )
    stretches = np.array_split(attribution.numpy(), min(WAVE_POINTS, spec.samples))
    row = _colours(np.array([one.sum() for one in stretches]))
    return _encoded(Image.fromarray(np.repeat(row[None], STRIP_HEIGHT, axis=0)))


def _weights(weights: Tensor | None, count: int, places: list[int] | None = None) -> tuple[float, ...]:
    if weights is None:
        return ()
    values = _finite(weights)
    if values.shape != (count,):
        raise ValueError(
            f"got weights of shape {tuple(values.shape)}; expected ({count},). Give one weight for each value of the "
            "sample."
        )
    kept = values if places is None else values[places]
    return tuple(round(float(one), 4) for one in _to_unit(kept.numpy()))


def _words(spec: TextInput, ids: Tensor) -> tuple[list[str], list[int]]:
    """Return the words of a text, and their places among the token ids (padding has none)."""
    tokenizer = tokenizers.Tokenizer.from_str(spec.tokenizer)
    places = [place for place, token in enumerate(ids.tolist()) if token != 0]
    return [tokenizer.id_to_token(int(ids[place])) or f"#{int(ids[place])}" for place in places], places


def _array(spec: ArrayInput, values: Tensor, caption: str, weights: Tensor | None) -> Tile:
    flat = values.reshape(-1).to(torch.float64)
    if len(flat) <= MOST_CELLS:
        names = [_place(spec, index) for index in np.ndindex(*spec.shape)]
        cells = {name: f"{float(value):.4g}" for name, value in zip(names, flat, strict=True)}
        flat_weights = None if weights is None else weights.reshape(-1)
        return Tile(caption=caption, cells=cells, weights=_weights(flat_weights, len(flat)))
    along = values.to(torch.float64).mean(-1) if spec.axes == "steps,features" else flat
    return Tile(caption=caption, wave=_wave(_to_unit(np.nan_to_num(along.numpy()))))


def _place(spec: ArrayInput, index: tuple[int, ...]) -> str:
    if spec.axes == "steps,features":
        return f"step {index[0]}" + (f", feature {index[1]}" if spec.shape[1] > 1 else "")
    return f"feature {index[0]}" if len(index) == 1 else "value " + ", ".join(map(str, index))
