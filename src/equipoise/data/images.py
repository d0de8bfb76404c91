"""Images: folders with one sub-folder a class, and pictures handed over to be predicted."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from equipoise.core.data_plan import ImageData
from equipoise.core.progress import Listener, silent
from equipoise.core.signature import ImageInput
from equipoise.data.class_folders import UNLABELLED, folder_targets, folder_task, keep_readable, list_folder
from equipoise.data.file_samples import FileSource, splits_from_files, survey
from equipoise.data.paths import existing_folder
from equipoise.data.pictures import SUFFIXES, Look, look, pixels
from equipoise.data.samples import Splits

LARGEST_SIDE = 64
"""Images are not made larger than this unless the plan says so: training on a CPU would take hours."""


def load_images(plan: ImageData, seed: int, *, on_progress: Listener = silent) -> Splits:
    """Read a folder of images, one sub-folder a class.

    All images are brought to one size (the plan's, else the median, with its longer side at most 64) and mode (grey
    when all are grey, unless the plan says otherwise). Files that cannot be read are left out, counted and named;
    whatever else was changed is counted in the notes.

    Args:
        plan: Folder, size, mode, split.
        seed: Seed of the division.
        on_progress: Hears how many images have been read.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: No sub-folders, an empty class, one class only, more than half of the files broken, or a task that a
            folder cannot answer.
    """
    root = existing_folder(plan.path, "one sub-folder of images a class")
    listing = list_folder(root, SUFFIXES, "images", labelled=plan.task not in UNLABELLED)
    task = folder_task(plan, listing.classes)
    looks, broken = survey(listing.files, look)
    keep_readable(listing, broken, "images")
    spec = _spec(plan, list(looks.values()))

    def decode(path: Path) -> Tensor:
        return read_picture(path, spec)

    source = FileSource(
        plan=plan,
        listing=listing,
        targets=folder_targets(task, listing.labels),
        task=task,
        spec=spec,
        shape=(spec.channels, spec.height, spec.width),
        decode=decode,
        what="images",
        broken=broken,
        notes=_notes(plan, list(looks.values()), spec),
        remarks=((_blank, "{} of {} images show one colour throughout; they were kept."),),
    )
    return splits_from_files(source, seed, on_progress)


def read_picture(path: Path, spec: ImageInput) -> Tensor:
    """Return one image file as raw float32 (channels, height, width), in the range of `spec`."""
    with Image.open(path) as image:
        return _scaled(pixels(image, _drawn_channels(spec), spec.height, spec.width), spec)


def decode_images(spec: ImageInput, raw: Any) -> Tensor:
    """Return images as the user has them as a raw tensor, float32 (n, channels, height, width).

    Files and Pillow images are brought to the size and mode of `spec`. So are uint8 arrays (height, width) or
    (height, width, channels) when the range is 0..255. Other arrays and tensors must have the right size, and values in
    the range of `spec`: one image (channels, height, width) or (height, width), or several along a new first axis;
    rows of channels * height * width values are taken too.

    Args:
        spec: What the network takes.
        raw: A path, a Pillow image, an array or a tensor, or a list of these.

    Raises:
        ValueError: A file that is no image, another size, or values outside the range; the message says which.
    """
    if isinstance(raw, (list, tuple)):
        if not raw:
            raise ValueError("got an empty list; expected at least one image. Hand over paths, images or an array.")
        return torch.cat([_decode_named(spec, one, f"image {i}") for i, one in enumerate(raw)])
    return _decode_named(spec, raw, "the image")


def _decode_named(spec: ImageInput, raw: Any, name: str) -> Tensor:
    if isinstance(raw, (str, Path)):
        return _file(Path(raw), spec)[None]
    if isinstance(raw, Image.Image):
        return _scaled(pixels(raw, _drawn_channels(spec), spec.height, spec.width), spec)[None]
    if isinstance(raw, Tensor):
        return _in_range(_shaped(raw.detach().cpu().numpy(), spec, name), spec, name)
    array = np.asarray(raw)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"got {type(raw).__name__} as {name}; expected a path, a Pillow image, an array or a tensor of numbers. "
            "Hand over one of these."
        )
    if array.dtype == np.uint8 and (spec.low, spec.high) == (0.0, 255.0) and _is_picture(array, spec):
        drawn = Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array)
        return _scaled(pixels(drawn, _drawn_channels(spec), spec.height, spec.width), spec)[None]
    return _in_range(_shaped(array, spec, name), spec, name)


def _file(path: Path, spec: ImageInput) -> Tensor:
    if not path.is_file():
        raise ValueError(f"got {path}, which is no file; expected an image file. Check the path.")
    try:
        look(path)
        return read_picture(path, spec)
    except Exception as problem:
        raise ValueError(
            f"got {type(problem).__name__} ({problem}) from {path}; expected a whole image of "
            f"{', '.join(SUFFIXES)}. Repair the file or hand over another one."
        ) from problem


def _is_picture(array: np.ndarray, spec: ImageInput) -> bool:
    """Return whether an array is one picture (H, W) or (H, W, C) rather than rows or a stack of them."""
    if array.ndim == 2:
        return array.shape == (spec.height, spec.width) or array.shape[1] != spec.channels * spec.height * spec.width
    exact = array.shape == (spec.channels, spec.height, spec.width)
    stack = spec.channels == 1 and array.shape[1:] == (spec.height, spec.width)
    return array.ndim == 3 and array.shape[2] in (1, 3, 4) and not exact and not stack


def _shaped(array: np.ndarray, spec: ImageInput, name: str) -> np.ndarray:
    size = (spec.height, spec.width)
    whole = (spec.channels, *size)
    grey = spec.channels == 1
    if array.shape in (whole, *((size,) if grey else ()), (*size, spec.channels), (int(np.prod(whole)),)):
        array = array[None]
    tail = array.shape[1:]
    if array.ndim == 4 and tail == (*size, spec.channels) and tail != whole:
        array = array.transpose(0, 3, 1, 2)
    elif tail not in (whole, (int(np.prod(whole)),)) and not (grey and tail == size):
        raise ValueError(
            f"got {name} of shape {array.shape}; expected {whole} or (n, {', '.join(map(str, whole))}), that is "
            "channels, height and width. Resize the picture, or hand over a path or a Pillow image, which are "
            "resized here."
        )
    return array.reshape(-1, *whole)


def _in_range(array: np.ndarray, spec: ImageInput, name: str) -> Tensor:
    values = array.astype(np.float32)
    if values.size == 0:
        raise ValueError(f"got {name} of shape {array.shape} with no pixels; expected some. Hand over an image.")
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise ValueError(f"got {count} pixels of {name} that are NaN or infinite; expected finite ones. Replace them.")
    low, high = float(values.min()), float(values.max())
    if low < spec.low or high > spec.high:
        raise ValueError(
            f"got pixels {low:g} to {high:g} in {name}; expected {spec.low:g} to {spec.high:g}. Scale them to "
            "that range."
        )
    if spec.high > 1.0 and array.dtype.kind == "f" and high <= 1.0 and (values != np.round(values)).any():
        raise ValueError(
            f"got pixels {low:g} to {high:g} in {name}; expected the range {spec.low:g} to {spec.high:g}, which this "
            f"network was trained on. Multiply by {spec.high:g}."
        )
    return torch.from_numpy(np.ascontiguousarray(values))


def _blank(picture: Tensor) -> bool:
    return bool((picture == picture[:, :1, :1]).all())


def _drawn_channels(spec: ImageInput) -> int:
    if spec.channels not in (1, 3):
        raise ValueError(
            f"got a picture for a network that takes {spec.channels} channels; expected 1 (grey) or 3 (colour). Hand "
            f"over an array of shape ({spec.channels}, {spec.height}, {spec.width})."
        )
    return spec.channels


def _scaled(drawn: np.ndarray, spec: ImageInput) -> Tensor:
    values = torch.from_numpy(drawn).to(torch.float32)
    if (spec.low, spec.high) == (0.0, 255.0):
        return values
    return values * ((spec.high - spec.low) / 255.0) + spec.low


def _spec(plan: ImageData, looks: Sequence[Look]) -> ImageInput:
    heights, widths = (np.array([getattr(one, side) for one in looks]) for side in ("height", "width"))
    height, width = float(np.median(heights)), float(np.median(widths))
    scale = min(1.0, LARGEST_SIDE / max(height, width))
    colour = plan.mode == "colour" or (plan.mode is None and any(one.colour for one in looks))
    return ImageInput(
        channels=3 if colour else 1,
        height=plan.height or max(1, round(height * scale)),
        width=plan.width or max(1, round(width * scale)),
    )


def _notes(plan: ImageData, looks: Sequence[Look], spec: ImageInput) -> tuple[str, ...]:
    n = len(looks)
    size = f"{spec.height}x{spec.width} pixels (height x width)"
    resized = sum((one.height, one.width) != (spec.height, spec.width) for one in looks)
    chosen = "" if plan.height and plan.width else f", the median size with at most {LARGEST_SIDE} a side"
    modes = Counter(one.mode for one in looks)
    converted = sum(one.mode != ("RGB" if spec.channels == 3 else "L") for one in looks)
    said = {
        f"{{}} of {n} images were brought to {size}{chosen} (bilinear, antialiased, both axes stretched)": resized,
        f"{{}} of {n} images were converted to {'colour' if spec.channels == 3 else 'grey'} "
        f"(modes: {', '.join(f'{count} {mode}' for mode, count in sorted(modes.items()))})": converted,
        f"{{}} of {n} images had transparent parts and were laid on white": sum(one.transparent for one in looks),
        f"{{}} of {n} images had more than 8 bits a pixel and were reduced to 8": sum(one.deep for one in looks),
        f"{{}} of {n} images had several frames, of which the first was taken": sum(one.animated for one in looks),
        f"{{}} of {n} images were turned as their EXIF data say": sum(one.turned for one in looks),
    }
    return tuple(f"{text.format(count)}." for text, count in said.items() if count)
