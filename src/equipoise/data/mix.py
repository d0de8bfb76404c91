"""Training batches whose samples are mixed with one another, and their targets likewise."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from equipoise.core.signature import Task

MIXUP_ALPHA, CUTMIX_ALPHA = 0.2, 1.0
"""Both parameters of the beta distribution of the mixing weight: Zhang et al., ICLR 2018; Yun et al., ICCV 2019."""


def mix(
    inputs: Tensor, targets: Tensor, chosen: set[str], task: Task, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return a batch in which each sample is mixed with another one: `mixup`, `cutmix`, or one of both by lot.

    Args:
        inputs: Raw inputs (n, ...).
        targets: As in `Samples`.
        chosen: Names of augmentations; without `mixup` and `cutmix` the batch is returned as it is.
        task: What is predicted.
        generator: Where all random numbers come from.

    Returns:
        Inputs of the same shape and type, and the mixed targets; classes become float32 (n, classes).
    """
    ways = sorted(chosen & {"mixup", "cutmix"})
    if not ways:
        return inputs, targets
    draws = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator, device=generator.device)))
    partner = torch.randperm(len(inputs), generator=generator, device=generator.device).to(inputs.device)
    # No draw where there is no choice: the same recipe draws the same numbers as it did before there was one.
    way = ways[int(draws.integers(2))] if len(ways) == 2 else ways[0]
    if way == "mixup":
        kept = float(draws.beta(MIXUP_ALPHA, MIXUP_ALPHA))
        mixed = inputs.lerp(inputs[partner], 1 - kept)  # NaN in either stays NaN
    else:
        patch = _patch(inputs.shape, float(draws.beta(CUTMIX_ALPHA, CUTMIX_ALPHA)), draws).to(inputs.device)
        mixed, kept = torch.where(patch, inputs[partner], inputs), 1 - float(patch.float().mean())
    if task.classifies:
        targets = functional.one_hot(targets, len(task.classes)).to(torch.float32)
    return mixed, targets.lerp(targets[partner.to(targets.device)], 1 - kept)


def _patch(shape: torch.Size, kept: float, draws: np.random.Generator) -> Tensor:
    """Return which numbers of a sample come from the other: a rectangle of an image, a stretch of anything else.

    It covers a share 1 - `kept` but for what lies beyond the edge, around a place drawn evenly.
    """
    if len(shape) == 4:
        sides = (shape[2], shape[3])
        inside = [_stretch(side, (1 - kept) ** 0.5, draws) for side in sides]
        return (inside[0][:, None] & inside[1][None, :])[None, None]
    stretch = _stretch(shape[1], 1 - kept, draws)
    return stretch.reshape(1, -1, *[1] * (len(shape) - 2))


def _stretch(length: int, share: float, draws: np.random.Generator) -> Tensor:
    """Return which of `length` places lie within a stretch of this share around a random middle."""
    middle, half = draws.integers(length), length * share / 2
    return torch.from_numpy(np.abs(np.arange(length) + 0.5 - (middle + 0.5)) < half)
