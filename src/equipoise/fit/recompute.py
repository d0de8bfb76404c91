"""Activation checkpointing: parts of a body forget their activations and compute them again when needed."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@contextlib.contextmanager
def recomputing(body: nn.Module) -> Iterator[None]:
    """Checkpoint the children of a body for a while (Chen et al., 2016, arXiv 1604.06174).

    A sequence of layers is cut into about sqrt(length) segments; any other child is one segment. Gradients are the
    same. Batch-norm statistics move once a step, although the forward pass runs twice.

    Raises:
        ValueError: The body has no children to checkpoint.
    """
    children = _segments(body)
    if not children:
        raise ValueError(
            f"recipe.checkpoint_activations: got a body {type(body).__name__} without layers inside; expected some. "
            "Set it to false."
        )
    for child in children:
        child.forward = _sequence(child) if isinstance(child, nn.Sequential) else _whole(child)
    try:
        yield
    finally:
        for child in children:
            del child.forward  # the method of the class shows again


def _segments(module: nn.Module) -> list[nn.Module]:
    """Return the modules to be wrapped: the body itself when it is a sequence, else its children."""
    if isinstance(module, nn.Sequential):
        return [module]
    found: list[nn.Module] = []
    for child in module.children():
        found += _segments(child) if isinstance(child, (nn.ModuleList, nn.ModuleDict)) else [child]
    return [child for child in found if next(child.parameters(), None) is not None]


def _whole(module: nn.Module) -> Callable[..., Any]:
    forward = module.forward

    def again(*inputs: Any, **options: Any) -> Any:
        if not module.training:
            return forward(*inputs, **options)
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=lambda: _contexts(module), **options)

    return again


def _sequence(module: nn.Sequential) -> Callable[[Tensor], Tensor]:
    layers = list(module)
    length = max(1, math.ceil(len(layers) / max(1, math.isqrt(len(layers)))))
    segments = [layers[start : start + length] for start in range(0, len(layers), length)]

    def run(segment: list[nn.Module], values: Tensor) -> Tensor:
        for layer in segment:
            values = layer(values)
        return values

    def again(values: Tensor) -> Tensor:
        for segment in segments:
            if module.training:
                values = checkpoint(run, segment, values, use_reentrant=False, context_fn=lambda: _contexts(module))
            else:
                values = run(segment, values)
        return values

    return again


def _contexts(
    module: nn.Module,
) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
    return contextlib.nullcontext(), _frozen_statistics(module)


@contextlib.contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Keep batch-norm statistics where they are during the second forward pass."""
    norms = [one for one in module.modules() if isinstance(one, _NORMS)]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    counts = [None if count is None else count.clone() for _, _, count in kept]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for (norm, momentum, tracked), count in zip(kept, counts, strict=True):
            norm.momentum = momentum
            if tracked is not None and count is not None:
                tracked.copy_(count)
