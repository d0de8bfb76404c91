"""Which family of the house a network made elsewhere is like, so that a plan can describe it."""

from torch import nn

from equipoise.core.network_plan import (
    Activation,
    ConvolutionalNetwork,
    DenseNetwork,
    NetworkPlan,
    Normalisation,
    RecurrentNetwork,
)

ACTIVATIONS: tuple[tuple[type[nn.Module], Activation], ...] = (
    (nn.ReLU, "relu"),
    (nn.LeakyReLU, "leaky-relu"),
    (nn.GELU, "gelu"),
    (nn.SiLU, "silu"),
    (nn.Tanh, "tanh"),
    (nn.Sigmoid, "sigmoid"),
    (nn.ELU, "elu"),
    (nn.SELU, "selu"),
)
NORMALISATIONS: tuple[tuple[tuple[type[nn.Module], ...], Normalisation], ...] = (
    ((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), "batch"),
    ((nn.LayerNorm,), "layer"),
    ((nn.GroupNorm,), "group"),
)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
CELLS: tuple[tuple[type[nn.Module], str], ...] = ((nn.LSTM, "lstm"), (nn.GRU, "gru"), (nn.RNN, "plain"))


def recognise(network: nn.Module) -> NetworkPlan | None:
    """Return the family network with the layers of a module: kinds, widths, activation, normalisation and dropout.

    Layers are taken in the order in which they are registered. The last dense layer gives the scores, so its width is
    no option. What the family cannot say (strides, an activation at the end, weights drawn in some way) is left out.

    Args:
        network: Any module.

    Returns:
        The plan, or None where there is no dense, convolutional or recurrent layer.
    """
    layers = [module for module in network.modules() if not list(module.children())]
    dense = [one for one in layers if isinstance(one, nn.Linear)]
    convolutions = [one for one in layers if isinstance(one, CONVOLUTIONS)]
    recurrent = [one for one in layers if isinstance(one, nn.RNNBase)]
    common = {"normalisation": _normalisation(layers), "dropout": _dropout(layers)}
    hidden = tuple(one.out_features for one in dense[:-1])
    activation = _activation(layers)
    if recurrent:
        cell = next(name for kind, name in CELLS if isinstance(recurrent[0], kind))
        widths = tuple(one.hidden_size for one in recurrent for _ in range(one.num_layers))
        both_ways = recurrent[0].bidirectional
        return RecurrentNetwork.read({"cell": cell, "hidden": widths, "bidirectional": both_ways, **common})
    if convolutions:
        channels = tuple(one.out_channels for one in convolutions)
        kernel = int(convolutions[0].kernel_size[0])
        values = {"channels": channels, "hidden": hidden, "kernel": kernel, "activation": activation or "relu"}
        return ConvolutionalNetwork.read({**values, **common})
    if dense:
        # Layers without a function between them are one linear map.
        return DenseNetwork.read({"hidden": hidden, "activation": activation or "linear", **common})
    return None


def _activation(layers: list[nn.Module]) -> Activation | None:
    """Return the first activation function that is followed by a layer with weights."""
    weighted = [k for k, one in enumerate(layers) if isinstance(one, (nn.Linear, *CONVOLUTIONS))]
    for layer in layers[: weighted[-1] if weighted else 0]:
        for kind, name in ACTIVATIONS:
            if isinstance(layer, kind):
                return name
    return None


def _normalisation(layers: list[nn.Module]) -> Normalisation:
    for kinds, name in NORMALISATIONS:
        if any(isinstance(layer, kinds) for layer in layers):
            return name
    return "none"


def _dropout(layers: list[nn.Module]) -> float:
    """Return the largest chance of being dropped that is below one."""
    chances = [float(one.p) for one in layers if isinstance(one, (nn.Dropout, nn.Dropout1d, nn.Dropout2d))]
    return max((one for one in chances if one < 1), default=0.0)
