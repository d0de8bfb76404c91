"""Finds the operation that first made something infinite or not a number, in the graph of a loss."""

from typing import Any

import torch
from torch import Tensor

_FARTHEST = 2_000
"""Most operations that are looked at."""


def first_non_finite(loss: Tensor) -> str:
    """Return the name of the operation where a loss stopped being finite; empty when the graph does not tell.

    The graph is walked from the loss backwards. An operation keeps some of what went in, or what came out, for the
    gradient. Where something went in that was not finite the search goes on before it; where all that is kept of what
    went in is finite, or what came out is not and nothing before it is to blame, it was this operation.

    Args:
        loss: A number that is not finite, with its graph.
    """
    waiting: list[Any] = [] if loss.grad_fn is None else [loss.grad_fn]
    seen: set[Any] = set(waiting)
    blamed = ""
    while waiting and len(seen) < _FARTHEST:
        node = waiting.pop(0)
        inputs, results = _kept(node)
        if results and not all(map(_finite, results)):
            blamed = _name(node)
        if inputs and all(map(_finite, inputs)):
            if not results and not blamed:
                blamed = _name(node)
            continue  # what lies before it is finite
        if inputs:
            blamed = ""  # what went in is to blame
        fresh = [one for one, _ in node.next_functions if one is not None and one not in seen]
        seen.update(fresh)
        waiting.extend(fresh)
    return blamed


def _kept(node: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Return the floating-point tensors that an operation keeps: of what went in, and of what came out."""
    inputs: list[Tensor] = []
    results: list[Tensor] = []
    for name in dir(node):
        if name.startswith("_saved_"):
            value = getattr(node, name)
            if isinstance(value, Tensor) and value.is_floating_point():
                (results if name.startswith("_saved_result") else inputs).append(value)
    return inputs, results


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())


def _name(node: Any) -> str:
    """Return the name of an operation as a person writes it: `LogBackward0` is `log`."""
    name = str(node.name()).rstrip("0123456789").removesuffix("Backward")
    return "".join(
        f"_{letter.lower()}" if letter.isupper() and at else letter.lower() for at, letter in enumerate(name)
    )
