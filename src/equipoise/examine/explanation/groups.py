"""Which values of a raw input belong together as one feature that people can name."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from equipoise.core.signature import ArrayInput, ImageInput, InputSpec, SoundInput, TableInput

_GRID = 8
_SEGMENTS = 16
_MOST = 256


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Named groups of the values of one raw sample.

    Attributes:
        names: Name of each group.
        of: Group of each value, int64 in the shape of one raw sample.
        thing: What a group is, in the singular: `column`, `patch`, `stretch` or `feature`.
    """

    names: tuple[str, ...]
    of: Tensor
    thing: str

    def mask(self, group: int) -> Tensor:
        """Return which values belong to a group, boolean in the shape of one raw sample."""
        return self.of == group


def groups_of(spec: InputSpec) -> Groups:
    """Return the features of raw inputs: columns, patches of pixels, stretches of sound, features of an array.

    Images are cut into a grid of at most 8 by 8 patches over all channels, sounds into 16 stretches. Arrays with more
    than 256 features are cut into 256 neighbouring groups.

    Raises:
        ValueError: Token ids; words are not places.
    """
    if isinstance(spec, TableInput):
        return Groups(tuple(column.name for column in spec.columns), torch.arange(len(spec.columns)), "column")
    if isinstance(spec, ImageInput):
        return _patches(spec)
    if isinstance(spec, SoundInput):
        of, count = _cut(spec.samples, _SEGMENTS)
        width = spec.samples / count / spec.sample_rate
        return Groups(tuple(f"{k * width:.2f} to {(k + 1) * width:.2f} s" for k in range(count)), of, "stretch")
    if isinstance(spec, ArrayInput):
        return _array(spec)
    raise ValueError(f"got inputs of the kind {spec.kind!r}; expected values at fixed places. Group words instead.")


def _patches(spec: ImageInput) -> Groups:
    rows, height = _cut(spec.height, _GRID)
    columns, width = _cut(spec.width, _GRID)
    of = (rows[:, None] * width + columns[None, :]).expand(spec.channels, -1, -1).contiguous()
    names = tuple(f"row {r + 1} of {height}, column {c + 1} of {width}" for r in range(height) for c in range(width))
    return Groups(names, of, "patch")


def _array(spec: ArrayInput) -> Groups:
    if spec.axes == "steps,features" and len(spec.shape) == 2 and spec.shape[1] > 1:
        of, count = _cut(spec.shape[1], _MOST)
        return Groups(_names("feature", spec.shape[1], count), of.expand(spec.shape[0], -1).contiguous(), "feature")
    size = math.prod(spec.shape)
    of, count = _cut(size, _MOST if spec.axes == "features" else 4 * _SEGMENTS)
    name = "step" if spec.axes == "steps,features" else "feature"
    return Groups(_names(name, size, count), of.reshape(spec.shape), name)


def _cut(length: int, most: int) -> tuple[Tensor, int]:
    """Return the group of each of `length` places, cut into at most `most` groups of nearly one size."""
    count = min(length, most)
    return torch.arange(length) * count // length, count


def _names(name: str, size: int, count: int) -> tuple[str, ...]:
    if count == size:
        return tuple(f"{name} {k}" for k in range(size))
    starts = [math.ceil(k * size / count) for k in range(count + 1)]
    return tuple(f"{name}s {start} to {end - 1}" for start, end in pairwise(starts))
