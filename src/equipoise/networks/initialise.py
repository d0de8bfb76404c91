"""Initial weights by a named rule, drawn from a generator of their own."""

import torch
from torch import Tensor, nn

from equipoise.core.network_plan import FamilyOptions
from equipoise.networks.cells import LoopedRecurrence
from equipoise.networks.layered import LINEAR

_RECTIFIED = frozenset({"relu", "leaky-relu", "elu", "gelu", "silu"})


def initialise(body: nn.Module, options: FamilyOptions, seed: int) -> None:
    """Draw the weights of all dense, convolutional and recurrent layers anew and set their biases to zero.

    `he`: normal with variance 2 / fan-in (He et al., ICCV 2015). `glorot`: uniform with variance
    2 / (fan-in + fan-out) (Glorot and Bengio, AISTATS 2010). `lecun`: normal with variance 1 / fan-in (LeCun et al.,
    1998). `orthogonal`: orthogonal matrix, scaled by sqrt(2) before rectifiers (Saxe et al., ICLR 2014). `default`
    leaves what torch drew. Embeddings and normalisations keep torch's values. The gates of a recurrent layer are drawn
    one by one.

    Args:
        body: Changed in place; it was just built.
        options: Hold the rule and the activation.
        seed: Seed of the draws.
    """
    if options.initialisation == "default":
        return
    generator = torch.Generator().manual_seed(seed)
    for module in body.modules():
        if isinstance(module, LINEAR):
            _draw(module.weight, options, generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.RNNBase, LoopedRecurrence)):
            _draw_recurrent(module, options, generator)


def _draw_recurrent(module: nn.RNNBase | LoopedRecurrence, options: FamilyOptions, generator: torch.Generator) -> None:
    for name, parameter in module.named_parameters(recurse=False):
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            continue
        for gate in parameter.detach().split(module.hidden_size):
            _draw(gate, options, generator)


def _draw(weight: Tensor, options: FamilyOptions, generator: torch.Generator) -> None:
    with torch.no_grad():
        if options.initialisation == "he":
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
        elif options.initialisation == "glorot":
            nn.init.xavier_uniform_(weight, generator=generator)
        elif options.initialisation == "lecun":
            nn.init.kaiming_normal_(weight, nonlinearity="linear", generator=generator)
        else:
            gain = 2.0**0.5 if options.activation in _RECTIFIED else 1.0
            nn.init.orthogonal_(weight, gain=gain, generator=generator)
