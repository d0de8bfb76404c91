"""Changes that the world makes to inputs, at a severity from 0 (none) to 1 (hardly anything is left)."""

import io
import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from equipoise.core.preprocessing import ArrayNumbers, Preprocessing, TableNumbers
from equipoise.core.signature import ArrayInput, ImageInput, InputSpec, SoundInput, TableInput, TextInput

UNKNOWN = 1
"""Token id of a word that is not in the vocabulary; 0 is padding."""

_NAMES: dict[str, tuple[str, ...]] = {
    "image": ("noise", "blur", "contrast", "brightness", "occlusion", "pixelate", "jpeg"),
    "sound": ("noise", "clipping", "dropout", "shift"),
    "table": ("noise", "missing-values"),
    "text": ("word-drop", "unknown-words"),
    "array": ("noise",),
}


def applicable(spec: InputSpec) -> tuple[str, ...]:
    """Return the names of the corruptions that such inputs can meet."""
    names = _NAMES[spec.kind]
    if isinstance(spec, TableInput) and all(column.kind == "category" for column in spec.columns):
        return tuple(name for name in names if name != "noise")
    return names


def corrupt(
    inputs: Tensor,
    name: str,
    severity: float,
    spec: InputSpec,
    numbers: Preprocessing,
    generator: torch.Generator,
) -> Tensor:
    """Return corrupted raw inputs, of the same shape, type and range; severity 0 changes nothing.

    With one state of the generator, a greater severity changes the same places more. At severity s:

    - images: `noise` Gaussian with standard deviation s/2 of the range; `blur` Gaussian of standard deviation s/8 of
      the shorter side; `contrast` shrinks the distance to the image's mean by 0.95 s; `brightness` adds 0.6 s of the
      range; `occlusion` hides a square of side 0.75 s of the shorter side at a random place under the middle of the
      range; `pixelate` averages blocks, whose side doubles up to half of
      the shorter side (between two sides, both are mixed); `jpeg` saves with quality 95 - 94 s and opens again
    - sound: `noise` Gaussian, as loud as s times the recording; `clipping` at 1 - 0.98 s of its peak; `dropout` of a
      stretch of 0.75 s of its length (which may go over the end to the beginning); `shift` by s/2 of its length
    - tables and arrays: `noise` Gaussian with s standard deviations of the training part (tables: not categories);
      `missing-values`: each cell is lost with probability s
    - text: each word is dropped (`word-drop`; one always stays) or unknown (`unknown-words`) with probability s

    Args:
        inputs: Raw inputs (n, ...).
        name: One of `applicable(spec)`.
        severity: 0 to 1.
        spec: What the inputs are.
        numbers: Scale of tables and arrays.
        generator: Where the random numbers come from.

    Raises:
        ValueError: An unknown name or a severity outside 0..1.

    References:
        D. Hendrycks and T. Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations,
        ICLR 2019, arXiv:1903.12261 (kinds of image corruption; the severities here are continuous).
    """
    if not 0.0 <= severity <= 1.0:
        raise ValueError(f"got severity {severity}; expected 0 (no change) to 1. Choose a value in between.")
    if name not in applicable(spec):
        raise ValueError(
            f"got the corruption {name!r} for {spec.kind} inputs; expected one of {', '.join(applicable(spec))}. "
            "Choose one of these."
        )
    if severity == 0.0 or len(inputs) == 0:
        return inputs.clone()
    if isinstance(spec, ImageInput):
        changed = _IMAGE[name](inputs, severity, spec, generator)
        return changed.clamp(spec.low, spec.high)
    if isinstance(spec, SoundInput):
        return _SOUND[name](inputs, severity, generator).clamp(-1.0, 1.0)
    if isinstance(spec, TextInput):
        return _text(inputs, name, severity, generator)
    return _values(inputs, name, severity, spec, numbers, generator)


def _uniform(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device).to(like.device)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=generator.device).to(like.device, like.dtype)


def _image_noise(inputs: Tensor, severity: float, spec: ImageInput, generator: torch.Generator) -> Tensor:
    return inputs + _normal(inputs, generator) * (severity / 2 * (spec.high - spec.low))


def _blur(inputs: Tensor, severity: float, spec: ImageInput, _: torch.Generator) -> Tensor:
    width = severity / 8 * min(spec.height, spec.width)
    blurred = ndimage.gaussian_filter(inputs.cpu().numpy(), (0, 0, width, width), mode="nearest")
    return torch.from_numpy(blurred).to(inputs.device)


def _contrast(inputs: Tensor, severity: float, _: ImageInput, __: torch.Generator) -> Tensor:
    mean = inputs.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (inputs - mean) * (1 - 0.95 * severity)


def _brightness(inputs: Tensor, severity: float, spec: ImageInput, _: torch.Generator) -> Tensor:
    return inputs + 0.6 * severity * (spec.high - spec.low)


def _occlusion(inputs: Tensor, severity: float, spec: ImageInput, generator: torch.Generator) -> Tensor:
    half = 0.375 * severity * min(spec.height, spec.width)
    centre = _uniform((2, len(inputs), 1), generator, inputs)
    rows, columns = (torch.arange(side, device=inputs.device) + 0.5 for side in (spec.height, spec.width))
    hidden_rows = (rows - centre[0] * spec.height).abs() <= half
    hidden_columns = (columns - centre[1] * spec.width).abs() <= half
    hidden = (hidden_rows[:, :, None] & hidden_columns[:, None, :])[:, None]
    return torch.where(hidden, (spec.low + spec.high) / 2, inputs)


def _pixelate(inputs: Tensor, severity: float, spec: ImageInput, _: torch.Generator) -> Tensor:
    level = severity * max(1.0, math.log2(min(spec.height, spec.width) / 2))
    fine = int(level)
    share = level - fine
    return _blocks(inputs, 2**fine) * (1 - share) + _blocks(inputs, 2 ** (fine + 1)) * share


def _blocks(inputs: Tensor, side: int) -> Tensor:
    """Return images whose blocks of side x side pixels show their mean; blocks at the far edges may be smaller."""
    high, wide = (min(side, length) for length in inputs.shape[2:])
    means = functional.avg_pool2d(inputs, (high, wide), ceil_mode=True, count_include_pad=False)
    spread = means.repeat_interleave(high, dim=2).repeat_interleave(wide, dim=3)
    return spread[:, :, : inputs.shape[2], : inputs.shape[3]]


def _jpeg(inputs: Tensor, severity: float, spec: ImageInput, _: torch.Generator) -> Tensor:
    """Save each image and open it again; other than three channels are saved one by one."""
    quality = round(95 - 94 * severity)
    span = spec.high - spec.low
    bytes_ = ((inputs - spec.low) * (255.0 / span)).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    if spec.channels == 3:
        opened = np.stack([_saved(one.transpose(1, 2, 0), quality).transpose(2, 0, 1) for one in bytes_])
    else:
        opened = np.stack([np.stack([_saved(channel, quality) for channel in one]) for one in bytes_])
    return torch.from_numpy(opened).to(inputs.device, inputs.dtype) * (span / 255.0) + spec.low


def _saved(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.array(image)


def _sound_noise(inputs: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    loudness = inputs.square().mean(1, keepdim=True).sqrt()
    return inputs + _normal(inputs, generator) * (severity * loudness)


def _clipping(inputs: Tensor, severity: float, _: torch.Generator) -> Tensor:
    limit = inputs.abs().amax(1, keepdim=True) * (1 - 0.98 * severity)
    return torch.minimum(torch.maximum(inputs, -limit), limit)


def _dropout(inputs: Tensor, severity: float, generator: torch.Generator) -> Tensor:
    n, samples = inputs.shape
    start = (_uniform((n, 1), generator, inputs) * samples).floor()
    since = (torch.arange(samples, device=inputs.device) - start) % samples
    return inputs * (since >= round(0.75 * severity * samples))


def _shift(inputs: Tensor, severity: float, _: torch.Generator) -> Tensor:
    delay = round(severity / 2 * inputs.shape[1])
    return functional.pad(inputs, (delay, 0))[:, : inputs.shape[1]]


def _text(inputs: Tensor, name: str, severity: float, generator: torch.Generator) -> Tensor:
    words = inputs != 0
    draws = _uniform(tuple(inputs.shape), generator, inputs)
    hit = (draws < severity) & words
    if name == "unknown-words":
        return torch.where(hit, UNKNOWN, inputs)
    # The word that would go last stays, since a text without any word is not a text.
    last = draws.masked_fill(~words, -1.0).argmax(1, keepdim=True)
    kept = words & ~hit
    kept = kept.scatter(1, last, words.gather(1, last))
    order = (~kept).to(torch.int8).sort(dim=1, stable=True).indices
    return (inputs * kept).gather(1, order)


def _values(
    inputs: Tensor, name: str, severity: float, spec: InputSpec, numbers: Preprocessing, generator: torch.Generator
) -> Tensor:
    if name == "missing-values":
        return inputs.masked_fill(_uniform(tuple(inputs.shape), generator, inputs) < severity, torch.nan)
    scale = _scale(spec, numbers).to(inputs.device, inputs.dtype)
    return inputs + _normal(inputs, generator) * (severity * scale)


def _scale(spec: InputSpec, numbers: Preprocessing) -> Tensor:
    fitted = numbers.inputs
    if isinstance(spec, TableInput) and isinstance(fitted, TableNumbers):
        kinds = [column.kind != "category" for column in spec.columns]
        return torch.tensor(fitted.scale) * torch.tensor(kinds)
    if isinstance(spec, ArrayInput) and isinstance(fitted, ArrayNumbers):
        return torch.tensor(fitted.scale)
    raise ValueError(
        f"got {fitted.kind} numbers for {spec.kind} inputs; expected {spec.kind} numbers, whose scale the noise is "
        "measured in. Fit them with `fit_numbers` on the training part."
    )


_IMAGE: dict[str, Callable[[Tensor, float, ImageInput, torch.Generator], Tensor]] = {
    "noise": _image_noise,
    "blur": _blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "occlusion": _occlusion,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
}

_SOUND: dict[str, Callable[[Tensor, float, torch.Generator], Tensor]] = {
    "noise": _sound_noise,
    "clipping": _clipping,
    "dropout": _dropout,
    "shift": _shift,
}
