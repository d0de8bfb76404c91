"""One image file: what it is, and its pixels in one size and mode."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
LARGEST_PIXELS = 89_478_485
"""Images with more pixels are refused before they are decoded (Pillow's own limit: a quarter of a gigabyte)."""

_ORIENTATION = 0x0112
_GREY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True, slots=True)
class Look:
    """What the header of an image says; `height` and `width` after turning it as its EXIF data say."""

    height: int
    width: int
    colour: bool
    transparent: bool
    deep: bool
    animated: bool
    turned: bool
    mode: str


def look(path: Path) -> Look:
    """Read the header of an image.

    Raises:
        OSError: No image, or cut off within its header.
        ValueError: More than `LARGEST_PIXELS` pixels.
    """
    with Image.open(path) as image:
        if image.width * image.height > LARGEST_PIXELS:
            raise ValueError(
                f"got {image.width}x{image.height} pixels; expected at most {LARGEST_PIXELS:,} in all, since a larger "
                "image can fill the memory. Shrink it."
            )
        orientation = image.getexif().get(_ORIENTATION, 1) if image.format != "PNG" else 1
        sideways = orientation in (5, 6, 7, 8)
        return Look(
            height=image.width if sideways else image.height,
            width=image.height if sideways else image.width,
            colour=_coloured(image),
            transparent=image.has_transparency_data,
            deep=image.mode == "F" or image.mode.startswith("I"),
            animated=bool(getattr(image, "is_animated", False)),
            turned=orientation not in (0, 1),
            mode=image.mode,
        )


def pixels(image: Image.Image, channels: int, height: int, width: int) -> np.ndarray:
    """Return the pixels of an image, uint8 (channels, height, width).

    Animated images give their first frame; EXIF orientation is applied; transparent parts are laid on white; 16-bit
    grey is divided by 257; CMYK, palette and other modes become RGB, or luma (ITU-R 601) for one channel. The size is
    changed by antialiased bilinear interpolation, each axis on its own.

    Raises:
        OSError: The file is cut off or damaged.
        ValueError: Grey values outside any known range.
    """
    if getattr(image, "is_animated", False):
        image.seek(0)
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(ImageOps.exif_transpose(image))
    else:
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, (255, 255, 255, 255)), above)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    values = np.asarray(image)
    return np.ascontiguousarray(values[None] if channels == 1 else values.transpose(2, 0, 1))


def _coloured(image: Image.Image) -> bool:
    if image.mode in _GREY_MODES:
        return False
    palette = image.getpalette() if image.mode == "P" else None
    if palette is None:
        return True
    colours = np.array(palette).reshape(-1, 3)
    return bool((colours != colours[:, :1]).any())


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a grey image of 8 bits out of one of 16 or 32 bits, or of floating point (0..1 or 0..255)."""
    values = np.asarray(image).astype(np.float64)
    low, high = float(values.min()), float(values.max())  # NaN when any value is
    sixteen = image.mode.startswith("I;16")
    limit = 65535.0 if image.mode.startswith("I") else 255.0
    if not (low >= 0.0 and high <= limit):
        raise ValueError(
            f"got grey values {low:g} to {high:g} in mode {image.mode}; expected 0 to {limit:g}. Scale them to 8 bits."
        )
    if sixteen or (image.mode == "I" and high > 255.0):
        values /= 257.0
    elif image.mode == "F" and high <= 1.0:
        values *= 255.0
    return Image.fromarray(np.rint(values).astype(np.uint8))
