"""Batch norm over the batch of all ranks."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor, nn

from equipoise.fit.ranks.piece import Turn

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Sum(torch.autograd.Function):
    """The sum over ranks; each rank's value counts in the loss of every rank."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:  # pyrefly: ignore[bad-override]
        """Return the sum over ranks."""
        return _summed(values)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:  # pyrefly: ignore[bad-override]
        """Return the sum of the gradients."""
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


@contextlib.contextmanager
def gathering(body: nn.Module, turn: Turn) -> Iterator[None]:
    """Let every batch norm in training take mean and variance of the whole batch for a while.

    `nn.SyncBatchNorm` does the same on GPUs only. Passes without gradients, such as those that estimate the statistics
    of averaged weights, are left as they are: all ranks make them on the same samples.

    Args:
        body: What is trained.
        turn: Says when this rank's sample counts nowhere.
    """
    norms = [module for module in body.modules() if isinstance(module, BATCH_NORMS)]
    for norm in norms:
        norm.__dict__["forward"] = functools.partial(_normalise, norm, turn, norm.forward)
    try:
        yield
    finally:
        for norm in norms:
            norm.__dict__.pop("forward", None)  # the method of the class shows again


def _normalise(norm: BatchNorm, turn: Turn, alone: Any, inputs: Tensor) -> Tensor:
    if not (norm.training and torch.is_grad_enabled()):
        outputs: Tensor = alone(inputs)
        return outputs
    axes = [axis for axis in range(inputs.dim()) if axis != 1]
    shape = [1, -1, *(1 for _ in range(inputs.dim() - 2))]
    counts = 0.0 if turn.idle else 1.0
    values = inputs.float()
    number = values.new_tensor([counts * values.numel() / values.shape[1]])
    first = _Sum.apply(torch.cat([counts * values.sum(axes), number]))
    mean, n = first[:-1] / first[-1], first[-1].detach()
    centred = values - mean.view(shape)
    variance = _Sum.apply(counts * centred.square().sum(axes)) / n
    _note(norm, mean, variance * n / (n - 1))
    normalised = centred * torch.rsqrt(variance + norm.eps).view(shape)
    if norm.affine:
        normalised = normalised * norm.weight.view(shape) + norm.bias.view(shape)
    return normalised.to(inputs.dtype)


@torch.no_grad()
def _note(norm: BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Bring the running statistics up to date."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance, share)
