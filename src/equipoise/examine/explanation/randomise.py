"""Networks whose weights are gradually replaced by chance, and how much attributions notice."""

import copy

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from equipoise.networks.network import Network


def cascade(network: Network, generator: torch.Generator, stages: int) -> list[tuple[float, Network]]:
    """Return copies with ever more layers re-drawn, from the last to the first (Adebayo et al., NeurIPS 2018).

    Matrices and kernels are drawn anew from a normal distribution with their own standard deviation, biases and scales
    are shuffled, so that activations stay in their range while everything learned is lost.

    Args:
        network: The trained network; it is not changed.
        generator: Draws the weights.
        stages: How many copies, at most one a layer; the last has every layer re-drawn.

    Returns:
        Share of the layers re-drawn, and the copy.
    """
    count = len(_layers(network))
    drawn = copy.deepcopy(network)
    backward = _layers(drawn)[::-1]
    copies: list[tuple[float, Network]] = []
    steps = min(stages, count)
    cuts = sorted({round(count * (step + 1) / steps) for step in range(steps)})
    done = 0
    for cut in cuts:
        for layer in backward[done:cut]:
            redraw(layer, generator)
        done = cut
        copies.append((cut / count, copy.deepcopy(drawn)))
    return copies


@torch.no_grad()
def redraw(layer: nn.Module, generator: torch.Generator) -> None:
    """Replace a layer's own parameters by chance, in place."""
    for parameter in layer.parameters(recurse=False):
        if not parameter.is_floating_point():
            continue
        if parameter.ndim >= 2:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * parameter.std(correction=0).cpu())
        else:
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))


def rank_correlations(one: Tensor, other: Tensor) -> np.ndarray:
    """Return Spearman's correlation of two attributions (n, players) of each sample, (n,).

    Where one of them is the same for all players, it is 1 when both are and 0 otherwise.
    """
    a, b = (_centred(rankdata(side.cpu().numpy(), axis=1)) for side in (one, other))
    lengths = np.sqrt((a**2).sum(1)) * np.sqrt((b**2).sum(1))
    flat = ((a**2).sum(1) == 0) & ((b**2).sum(1) == 0)
    correlations: np.ndarray = np.where(lengths > 0, (a * b).sum(1) / np.where(lengths > 0, lengths, 1.0), flat)
    return correlations


def _centred(ranks: np.ndarray) -> np.ndarray:
    centred: np.ndarray = ranks - ranks.mean(1, keepdims=True)
    return centred


def _layers(network: Network) -> list[nn.Module]:
    return [one for one in network.body.modules() if list(one.parameters(recurse=False))]
