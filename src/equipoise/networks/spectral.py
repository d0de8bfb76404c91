"""Weights divided by their largest singular value."""

from collections.abc import Sequence

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from equipoise.networks.layered import LINEAR


def divide_by_spectral_norm(layers: Sequence[nn.Module]) -> int:
    """Divide the weights of dense and convolutional layers by their largest singular value, in place; return how many.

    The value is followed by power iteration, one step a forward pass in training (Miyato et al., ICLR 2018).
    """
    found = [layer for layer in layers if isinstance(layer, LINEAR) and not parametrize.is_parametrized(layer)]
    for layer in found:
        spectral_norm(layer)
    return len(found)


def bound(body: nn.Module) -> None:
    """Divide the hidden layers of a family's body; the last one stays free, so that scores may grow.

    Raises:
        ValueError: There is no hidden dense or convolutional layer.
    """
    layers = [module for module in body.modules() if isinstance(module, LINEAR)]
    if not divide_by_spectral_norm(layers[:-1]):
        raise ValueError(
            "network.spectral_norm: got a network without a hidden dense or convolutional layer; expected at least "
            "one. Set it to false, or use another family."
        )
