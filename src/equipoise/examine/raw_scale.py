"""How far raw inputs usually vary, and how to change them by that measure without leaving their range."""

import torch
from torch import Tensor

from equipoise.core.signature import ArrayInput, ImageInput, InputSpec, SoundInput, TableInput
from equipoise.data.samples import take
from equipoise.examine.question import InapplicableError
from equipoise.examine.subject import Subject


def standard_deviations(subject: Subject, generator: torch.Generator, *, limit: int = 2000) -> Tensor:
    """Return the standard deviation of raw inputs over (at most `limit`) training samples, shaped to broadcast.

    One a numeric or date column of a table (0 for categories, whose codes have no distances), one a channel of an
    image, one for a sound, one a feature of an array (its last axis; one for all when its axes mean `any`).

    Raises:
        InapplicableError: Token ids, or a table of categories only.
    """
    spec = subject.splits.signature.inputs
    if spec.kind == "text":
        raise InapplicableError("token ids have no Gaussian neighbourhood; `corruption` drops and replaces words")
    inputs, _, _ = take(subject.part("train"), limit, generator)
    scale = spread(inputs.float(), spec)
    if not bool((scale > 0).any()):
        raise InapplicableError("no input is a number that varies, so there is nothing to add noise to")
    return scale


def spread(inputs: Tensor, spec: InputSpec) -> Tensor:
    """Return the standard deviations of raw `inputs` (n, ...), shaped as in `standard_deviations`; of finite ones."""
    if isinstance(spec, TableInput):
        numeric = torch.tensor([column.kind != "category" for column in spec.columns])
        return torch.where(numeric, _deviation(inputs, (0,)), 0.0)
    if isinstance(spec, ImageInput):
        return _deviation(inputs, (0, 2, 3))[0]
    if isinstance(spec, SoundInput) or (isinstance(spec, ArrayInput) and spec.axes == "any"):
        return _deviation(inputs, tuple(range(inputs.ndim))).reshape(())
    return _deviation(inputs, tuple(range(inputs.ndim - 1))).reshape(inputs.shape[-1:])


def within_range(inputs: Tensor, spec: InputSpec) -> Tensor:
    """Return inputs clipped to the range that their kind has: an image's `low..high`, a sound's -1..1."""
    if isinstance(spec, ImageInput):
        return inputs.clamp(spec.low, spec.high)
    return inputs.clamp(-1.0, 1.0) if isinstance(spec, SoundInput) else inputs


def _deviation(inputs: Tensor, axes: tuple[int, ...]) -> Tensor:
    # Squares of float32 overflow from 1e19 on; in float64 none does.
    known = inputs.isfinite()
    count = known.sum(axes, keepdim=True).clamp(min=1)
    values = torch.where(known, inputs, 0.0).double()
    mean = values.sum(axes, keepdim=True) / count
    squares = torch.where(known, (values - mean).square(), 0.0)
    deviation = (squares.sum(axes, keepdim=True) / count).sqrt()
    # Rounding leaves a constant far from 0 with a deviation that is not quite 0.
    deviation = torch.where(deviation > 1e-6 * mean.abs(), deviation, 0.0)
    deviation = deviation.to(inputs.dtype)
    return deviation.squeeze(0) if axes == (0,) else deviation
