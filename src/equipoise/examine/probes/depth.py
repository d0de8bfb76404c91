"""Signals and gradients by depth, as a network was initialised."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equipoise.examine.probes.anatomy import AFFINE, WHOLE, trace
from equipoise.examine.probes.mode import is_dropout
from equipoise.examine.probes.setup import Batch, Loss


@dataclass(frozen=True, slots=True)
class Depth:
    """One layer with weights.

    Attributes:
        name: Its path.
        signal: Root mean square, over units, of the deviation of its outputs between samples.
        gradient: Mean over samples of the Euclidean norm of the loss's gradient by its outputs.
        gain: Root mean square of its weights times the root of its inputs per unit; about 1 keeps a signal's size.
    """

    name: str
    signal: float
    gradient: float
    gain: float


def by_depth(network: nn.Module, loss: Loss, batch: Batch) -> list[Depth]:
    """Return signal and gradient of every layer with weights, in the order in which they run.

    Normalisation works as in training, dropout is off. A layer that is called several times counts by its first call.

    Args:
        network: A copy.
        loss: Maps (outputs, targets) to a scalar.
        batch: Inputs and targets (n, ...).
    """
    without_dropout(network)
    seen = trace(network, batch[0], keep_graph=True)
    calls = [call for call in seen.calls if isinstance(call.module, (*AFFINE, *WHOLE)) and call.outputs is not None]
    first = {call.name: call for call in reversed(calls)}
    ordered = list({call.name: first[call.name] for call in calls}.values())
    layers = [(call, call.outputs) for call in ordered if call.outputs is not None and call.outputs.requires_grad]
    if not layers or seen.outputs is None:
        return []
    value = loss(seen.returned, batch[1])
    gradients: tuple[Tensor | None, ...] = torch.autograd.grad(value, [made for _, made in layers], allow_unused=True)
    n = len(batch[0])
    return [
        Depth(call.name, _signal(made, n), _norm(gradient, n), _gain(call.module))
        for (call, made), gradient in zip(layers, gradients, strict=True)
    ]


def without_dropout(network: nn.Module) -> nn.Module:
    """Put a network into training mode, but its dropout layers into evaluation mode."""
    network.train()
    for module in network.modules():
        if is_dropout(module):
            module.eval()
    return network


def _signal(outputs: Tensor, n: int) -> float:
    values = outputs.detach().double()
    if len(values) != n:
        return float(values.std()) if values.numel() > 1 else 0.0
    return float(values.std(0).square().mean().sqrt()) if n > 1 else 0.0


def _norm(gradient: Tensor | None, n: int) -> float:
    if gradient is None:
        return 0.0
    values = gradient.detach().double()
    if len(values) != n:
        return float(values.norm()) / math.sqrt(n)
    return float(values.reshape(n, -1).norm(dim=1).mean()) * n


def _gain(module: nn.Module) -> float:
    weights = [one.detach().double() for one in module.parameters() if one.dim() > 1]
    if not weights:
        return 1.0
    largest = max(weights, key=lambda one: one.numel())
    return float(largest.square().mean().sqrt()) * math.sqrt(largest[0].numel())
