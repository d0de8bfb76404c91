"""Targets of several tensors, as numbers of rows: any probe can draw these, and only the loss looks them up."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from equipoise.examine.probes.setup import Batch, Setup, Step

Nested = Tensor | Mapping[str, "Nested"] | tuple["Nested", ...] | list["Nested"]


def length(targets: object) -> int | None:
    """Return how many samples targets have, or None where they are no tensors, or of different lengths."""
    if isinstance(targets, Tensor):
        return len(targets) if targets.dim() else None
    parts = list(targets.values()) if isinstance(targets, Mapping) else targets
    if not isinstance(parts, (list, tuple)) or not parts:
        return None
    lengths = {length(one) for one in parts}
    return lengths.pop() if len(lengths) == 1 else None


def by_rows(setup: Setup) -> Setup:
    """Return the training with the numbers of rows for targets, where those are several tensors in a structure.

    The loss and the user's own step look their targets up, so that they see what they always see.
    """
    parts = [one for one in (setup.train, setup.validation) if one is not None]
    if all(isinstance(targets, Tensor) for _, targets in parts):
        return setup
    whole = _joined([targets for _, targets in parts])
    first = len(setup.train[0])

    def numbered(data: Batch, start: int) -> Batch:
        return data[0], torch.arange(start, start + len(data[0]))

    def loss(outputs: Tensor, numbers: Tensor) -> Tensor:
        return setup.loss(outputs, _picked(whole, numbers))  # type: ignore[arg-type]

    def looking_up(own: Step) -> Step:
        return lambda network, optimizer, batch: own(
            network,
            optimizer,
            (batch[0], _picked(whole, batch[1])),  # type: ignore[arg-type]
        )

    return replace(
        setup,
        loss=loss,
        step=None if setup.step is None else looking_up(setup.step),
        train=numbered(setup.train, 0),
        validation=None if setup.validation is None else numbered(setup.validation, first),
        opaque=True,
    )


def _joined(parts: list[Nested]) -> Nested:
    one = parts[0]
    if isinstance(one, Tensor):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    if isinstance(one, Mapping):
        return {key: _joined([part[key] for part in parts]) for key in one}  # type: ignore[index]
    return tuple(_joined([part[k] for part in parts]) for k in range(len(one)))  # type: ignore[index]


def _picked(whole: Nested, numbers: Tensor) -> Nested:
    if isinstance(whole, Tensor):
        return whole[numbers]
    if isinstance(whole, Mapping):
        return {key: _picked(one, numbers) for key, one in whole.items()}
    return tuple(_picked(one, numbers) for one in whole)
