"""Random changes to training batches that leave the meaning as it is, or change the target likewise."""

import importlib
import math
from types import ModuleType

import torch
from torch import Tensor

from equipoise.core.recipe import Augmentation
from equipoise.core.record import Record
from equipoise.core.signature import ArrayInput, ImageInput, InputSpec, SoundInput, TableInput, Task, TextInput
from equipoise.data.mix import mix

MAX_ROTATION_DEGREES = 15.0
MAX_SHIFT = 0.1
"""Largest shift along each axis, as a share of its length."""

MIN_CROP = 0.8
"""Smallest side of a random crop, as a share; the crop is enlarged to the old size."""

NOISE = 0.05
"""Usual deviation of added noise: a share of the range (images), else of the standard deviation of the values."""

MAX_BRIGHTNESS = 0.2
"""Largest change of brightness either way, as a share of the range."""

ERASED = (0.02, 0.2)
"""Smallest and largest share of an image or a recording that `erase` hides."""

MAX_ASPECT = 3.3
"""Largest ratio of the sides of an erased rectangle, as shares of the image's sides."""

UNKNOWN_SHARE = 0.1
"""Share of words that `noise` turns into the unknown word."""

_KINDS: dict[str, tuple[type[Record], ...]] = {
    "flip": (ImageInput,),
    "rotate": (ImageInput,),
    "shift": (ImageInput, SoundInput),
    "crop": (ImageInput,),
    "noise": (ImageInput, SoundInput, TableInput, TextInput, ArrayInput),
    "erase": (ImageInput, SoundInput),
    "brightness": (ImageInput,),
    "mixup": (ImageInput, SoundInput, TableInput, ArrayInput),
    "cutmix": (ImageInput, SoundInput, ArrayInput),
}


def check_augmentation(names: tuple[Augmentation, ...], spec: InputSpec, task: Task) -> None:
    """Refuse augmentations that make no sense for these inputs or this task.

    Raises:
        ValueError: Such a name; the message lists those that can be used.
    """
    for name in names:
        usable = [one for one in _KINDS if _usable(one, spec, task)]
        if name not in usable:
            raise ValueError(
                f"got the augmentation {name!r} for {spec.kind} inputs and the task {task.kind}; expected one of "
                f"{', '.join(usable)}. Remove {name!r} from the recipe."
            )


def input_kinds(name: Augmentation) -> tuple[str, ...]:
    """Return the kinds of inputs that an augmentation makes sense for: `image`, `sound`, `table`, `text`, `array`."""
    return tuple(str(one.model_fields["kind"].default) for one in _KINDS[name])


def augment(
    inputs: Tensor,
    targets: Tensor,
    names: tuple[Augmentation, ...],
    spec: InputSpec,
    task: Task,
    generator: torch.Generator,
    *,
    noise: float = NOISE,
) -> tuple[Tensor, Tensor]:
    """Return a changed batch; the same generator state gives the same batch.

    Images: `flip` mirrors left and right with probability 1/2, `rotate` by up to 15 degrees, `shift` by up to a tenth
    of each side, `crop` enlarges a random part of 80 to 100 % of each side (these three in one bilinear step, with the
    border repeated), `erase` hides a rectangle of 2 to 20 % of the area under the middle of the range, `brightness`
    adds up to a fifth of the range, `noise` is Gaussian. Sound: `shift` moves by up to a tenth with silence moving in,
    `erase` silences a stretch, `noise` is Gaussian relative to the recording's own loudness. Tables and arrays: `noise`
    relative to the batch's standard deviation of each column or feature (categories stay). Text: `noise` makes a tenth
    of the words unknown. `mixup` mixes pairs of samples and their targets with one weight a batch; `cutmix` puts a
    rectangle (sound: a stretch; sequences: some steps) of one into the other and mixes targets by its share.

    Args:
        inputs: Raw inputs (n, ...).
        targets: As in `Samples`.
        names: What to apply; the order does not matter. Of mixup and cutmix together, each batch draws one.
        spec: What the inputs are; values stay within its range.
        task: What is predicted.
        generator: Where all random numbers come from.
        noise: Deviation of `noise`: a share of the range (images), else of the values' own deviation or loudness.

    Returns:
        Inputs of the same shape and type, and the targets; with mixup or cutmix, classes become float32 (n, classes).

    Raises:
        ValueError: An augmentation that makes no sense for these inputs or this task.

    References:
        H. Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, arXiv:1710.09412.
        S. Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers, ICCV 2019, arXiv:1905.04899.
        Z. Zhong et al., Random Erasing Data Augmentation, AAAI 2020, arXiv:1708.04896.
    """
    check_augmentation(names, spec, task)
    if len(inputs) == 0 or not names:
        return inputs, targets
    chosen: set[str] = set(names)
    if isinstance(spec, ImageInput):
        inputs = _image(inputs, chosen, spec, generator, noise)
    elif isinstance(spec, SoundInput):
        inputs = _sound(inputs, chosen, generator, noise)
    elif "noise" in chosen:
        inputs = _noisy_values(inputs, spec, generator, noise)
    return mix(inputs, targets, chosen, task, generator)


def _usable(name: str, spec: InputSpec, task: Task) -> bool:
    if not isinstance(spec, _KINDS[name]):
        return False
    if name == "cutmix" and isinstance(spec, ArrayInput) and spec.axes != "steps,features":
        return False
    if name in ("mixup", "cutmix"):
        categories = isinstance(spec, TableInput) and any(column.kind == "category" for column in spec.columns)
        return not categories and task.kind not in ("sequence-labelling", "clustering")
    return name == "noise" or task.kind != "sequence-labelling"


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator, like: Tensor) -> Tensor:
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    return (drawn * (high - low) + low).to(like.device, like.dtype)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, device=generator.device).to(like.device, like.dtype)


def _image(inputs: Tensor, chosen: set[str], spec: ImageInput, generator: torch.Generator, noise: float) -> Tensor:
    n, span = len(inputs), spec.high - spec.low
    if "flip" in chosen:
        mirrored = _uniform((n, 1, 1, 1), 0, 1, generator, inputs) < 0.5
        inputs = torch.where(mirrored, inputs.flip(-1), inputs)
    if chosen & {"rotate", "shift", "crop"}:
        inputs = _moved(inputs, chosen, generator)
    if "brightness" in chosen:
        change = _uniform((n,), -MAX_BRIGHTNESS, MAX_BRIGHTNESS, generator, inputs)
        inputs = _kornia("enhance").adjust_brightness(inputs, change * span, clip_output=False)
    if "noise" in chosen:
        inputs = inputs + _normal(inputs, generator) * (noise * span)
    if "erase" in chosen:
        inputs = torch.where(_rectangles(inputs, generator), (spec.low + spec.high) / 2, inputs)
    return inputs.clamp(spec.low, spec.high)


def _kornia(part: str) -> ModuleType:
    return importlib.import_module(f"kornia.{part}")  # takes seconds, and few recipes need it


def _moved(inputs: Tensor, chosen: set[str], generator: torch.Generator) -> Tensor:
    """Rotate about the middle, enlarge and shift in one bilinear step.

    kornia's three random modules would take a step each, which costs ten times as much as this one on small images.
    """
    n, _, height, width = inputs.shape
    angle, down, right, shrink, crop_down, crop_right = _uniform((6, n), -1, 1, generator, inputs)
    angle = angle * (math.radians(MAX_ROTATION_DEGREES) if "rotate" in chosen else 0.0)
    side = 1 - (1 - MIN_CROP) * (shrink + 1) / 2 if "crop" in chosen else torch.ones_like(shrink)
    shift = MAX_SHIFT if "shift" in chosen else 0.0
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=inputs.device, dtype=inputs.dtype)
    cos, sin = angle.cos() / side, angle.sin() / side
    turn = torch.stack([torch.stack([cos, sin], dim=1), torch.stack([-sin, cos], dim=1)], dim=1)
    # A crop may lie anywhere: enlarged, its middle is moved by up to what hangs over on each side.
    moved = torch.stack(
        [
            (right * shift + crop_right * (1 / side - 1) / 2) * width,
            (down * shift + crop_down * (1 / side - 1) / 2) * height,
        ],
        dim=1,
    )
    matrix = torch.cat([turn, (middle + moved - turn @ middle)[:, :, None]], dim=2)
    warp = _kornia("geometry.transform").warp_affine
    warped: Tensor = warp(inputs, matrix, (height, width), padding_mode="border", align_corners=True)
    return warped


def _rectangles(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """Return which pixels are erased, (n, 1, height, width): a rectangle inside about half of the images."""
    n, _, height, width = inputs.shape
    hit, share, ratio, down, right = _uniform((5, n, 1), 0, 1, generator, inputs)
    area = ERASED[0] + share * (ERASED[1] - ERASED[0])
    aspect = torch.exp((2 * ratio - 1) * math.log(MAX_ASPECT))
    tall = ((area * aspect).sqrt() * height).round().clamp(1, height)
    broad = ((area / aspect).sqrt() * width).round().clamp(1, width)
    top, left = ((height - tall + 1) * down).floor(), ((width - broad + 1) * right).floor()
    rows, columns = (torch.arange(side, device=inputs.device) for side in (height, width))
    inside_rows = (rows >= top) & (rows < top + tall) & (hit < 0.5)
    inside_columns = (columns >= left) & (columns < left + broad)
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def _sound(inputs: Tensor, chosen: set[str], generator: torch.Generator, noise: float) -> Tensor:
    n, samples = inputs.shape
    where = torch.arange(samples, device=inputs.device)
    if "shift" in chosen:
        steps = _uniform((n, 1), -MAX_SHIFT, MAX_SHIFT, generator, inputs).mul(samples).round().long()
        source = where - steps
        inside = (source >= 0) & (source < samples)
        inputs = inputs.gather(1, source.clamp(0, samples - 1)) * inside
    if "erase" in chosen:
        length = _uniform((n, 1), *ERASED, generator, inputs) * samples
        start = _uniform((n, 1), 0, 1, generator, inputs) * (samples - length)
        inputs = inputs * ~((where >= start) & (where < start + length))
    if "noise" in chosen:
        loudness = inputs.square().mean(1, keepdim=True).sqrt()
        inputs = inputs + _normal(inputs, generator) * (noise * loudness)
    return inputs.clamp(-1.0, 1.0)


def _noisy_values(inputs: Tensor, spec: InputSpec, generator: torch.Generator, noise: float) -> Tensor:
    """Return table rows, arrays or token ids with noise; NaN and padding stay."""
    if isinstance(spec, TextInput):
        hidden = _uniform(tuple(inputs.shape), 0, 1, generator, torch.empty(0, device=inputs.device)) < UNKNOWN_SHARE
        return torch.where(hidden & (inputs != 0), torch.ones_like(inputs), inputs)
    features = inputs.shape[-1]
    scale = _spread(inputs.reshape(-1, features))
    if isinstance(spec, TableInput):
        numeric = [column.kind != "category" for column in spec.columns]
        scale = scale * torch.tensor(numeric, device=inputs.device)
    return inputs + _normal(inputs, generator) * (noise * scale)


def _spread(rows: Tensor) -> Tensor:
    """Return the standard deviation of each column over its known values; 0 where none is known."""
    known = ~rows.isnan()
    count = known.sum(0).clamp(min=1)
    filled = rows.nan_to_num(0.0)
    mean = filled.sum(0) / count
    return ((filled - mean).square() * known).sum(0).div(count).sqrt()
