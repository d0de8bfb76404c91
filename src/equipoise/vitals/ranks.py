"""The rank of what each layer represents: over how many directions its outputs spread."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equipoise.vitals.activations import unit_axis
from equipoise.vitals.places import measured_places, tensors_of
from equipoise.vitals.untouched import untouched

_ROWS = 2048
"""Most rows of one representation: beyond, evenly spaced ones are taken."""


@dataclass(frozen=True, slots=True)
class Rank:
    """The rank of one representation.

    Attributes:
        effective: Exponential of the entropy of the normalised singular values (Roy and Vetterli, The effective rank: a
            measure of effective dimensionality, EUSIPCO 2007), at least 1.
        stable: Sum of the squared singular values over the largest of them, at least 1.
        rows: Samples and positions it was taken over.
        units: Width of the layer, which no rank exceeds.
    """

    effective: float
    stable: float
    rows: int
    units: int


def rank_of(representation: Tensor) -> Rank:
    """Return the rank of a representation about its mean.

    Args:
        representation: (rows, units), of any floating-point type.
    """
    rows, units = representation.shape
    wide = representation.detach().double().cpu()
    values = torch.linalg.svdvals(wide - wide.mean(0)) if rows and units else torch.zeros(1)
    total = float(values.sum())
    if total == 0:
        return Rank(1.0, 1.0, rows, units)
    shares = values[values > 0] / total
    entropy = -float((shares * shares.log()).sum())
    return Rank(float(torch.tensor(entropy).exp()), float(values.square().sum() / values[0].square()), rows, units)


def ranks(network: nn.Module, forward: Callable[[], object]) -> dict[str, Rank]:
    """Return the rank of what each layer puts out, with the network left as it was found.

    Args:
        network: The network.
        forward: Runs it on a batch, in whatever mode it is in; no gradients are taken.
    """
    found: dict[str, Rank] = {}

    def listen(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, _: object, output: object) -> None:
            values = next(iter(tensors_of(output)), None)
            if values is not None and name not in found and values.dim() > 1:
                found[name] = rank_of(_rows(module, values))

        return hook

    handles = [module.register_forward_hook(listen(name or "network")) for name, module in measured_places(network)]
    try:
        with untouched(network), torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return found


def _rows(module: nn.Module, values: Tensor) -> Tensor:
    axis = unit_axis(module, values)
    flat = values.movedim(axis if axis is not None else -1, -1).reshape(
        -1, values.shape[axis if axis is not None else -1]
    )
    if len(flat) <= _ROWS:
        return flat
    return flat[torch.linspace(0, len(flat) - 1, _ROWS, device=flat.device).long()]
