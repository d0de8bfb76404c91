"""Keras 3 layers as torch layers with the same weights and the same outputs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.networks.keras_chain import (
    Chain,
    Permute,
    Rescale,
    States,
    add_activation,
    need,
    set_values,
    unlike,
    value_of,
)
from equipoise.networks.keras_models import keras_module


def convert(model: Any) -> nn.Sequential:
    """Return a chain of torch layers that takes the same inputs (channels last) and gives the same outputs.

    Args:
        model: A built `keras.Sequential`, or a functional model whose layers form one chain.

    Raises:
        NotConvertibleError: The layers form no chain, or one of them has no equal in torch.
    """
    chain = Chain()
    for layer in _in_chain(model):
        name = type(layer).__name__
        if type(layer).__module__.split(".")[0] != "keras" or name not in _CONVERTERS:
            raise unlike(layer, "class", name, "a layer with an equal in torch")
        if str(layer.dtype_policy.compute_dtype) != "float32":
            raise unlike(layer, "number type", layer.dtype_policy.compute_dtype, "float32")
        _CONVERTERS[name](layer, chain)
    chain.as_keras()
    return nn.Sequential(*_without_round_trips(chain.layers))


def _in_chain(model: Any) -> list[Any]:
    """Return the layers in order, or refuse a model in which they do not simply follow each other."""
    keras = keras_module()
    if isinstance(model, keras.Sequential):
        inner = [_in_chain(one) if isinstance(one, keras.Model) else [one] for one in model.layers]
        return [one for part in inner for one in part if not isinstance(one, keras.layers.InputLayer)]
    layers = list(model.layers)
    if not layers or not isinstance(layers[0], keras.layers.InputLayer) or isinstance(model.output, (list, dict)):
        raise unlike(model, "graph", "no single input and output", "layers that form a chain")
    flowing = layers[0].output
    for layer in layers[1:]:
        if isinstance(layer, keras.Model) or layer.input is not flowing:
            raise unlike(layer, "input", "a branch or a model", "layers that form a chain")
        flowing = layer.output
    if model.output is not flowing:
        raise unlike(model, "output", "that of an inner layer", "that of its last layer")
    return layers[1:]


def _without_round_trips(layers: list[nn.Module]) -> list[nn.Module]:
    kept: list[nn.Module] = []
    for layer in layers:
        last = kept[-1] if kept else None
        if (
            isinstance(layer, Permute)
            and isinstance(last, Permute)
            and {layer.order, last.order}
            == {
                (0, 2, 3, 1),
                (0, 3, 1, 2),
            }
        ):
            kept.pop()
            continue
        kept.append(layer)
    return kept


def _dense(layer: Any, chain: Chain) -> None:
    need(layer, {"lora_enabled": False})
    chain.as_keras()
    kernel = value_of(layer.kernel)
    linear = nn.Linear(*kernel.shape, bias=layer.use_bias)
    set_values(linear.weight, kernel.T, trainable=layer.trainable)
    if layer.use_bias:
        set_values(linear.bias, value_of(layer.bias), trainable=layer.trainable)
    chain.add(linear)
    add_activation(layer, layer.activation, chain)


def _convolution(layer: Any, chain: Chain) -> None:
    need(layer, {"data_format": "channels_last", "lora_enabled": False})
    chain.as_torch()
    kernel = value_of(layer.kernel)
    strides, dilation = tuple(layer.strides), tuple(layer.dilation_rate)
    sides = tuple((side - 1) * rate + 1 for side, rate in zip(layer.kernel_size, dilation, strict=True))
    padding = _same_padding(layer, sides, strides)
    plain: tuple[int, int] = (0, 0)
    if padding is not None and padding[0] == padding[1] and padding[2] == padding[3]:
        plain = (padding[2], padding[0])
    elif padding is not None:
        chain.add(nn.ZeroPad2d(padding))
    inputs = kernel.shape[2] * layer.groups
    conv = nn.Conv2d(
        inputs,
        kernel.shape[3],
        tuple(layer.kernel_size),
        stride=strides,
        padding=plain,
        dilation=dilation,
        groups=layer.groups,
        bias=layer.use_bias,
    )
    set_values(conv.weight, kernel.permute(3, 2, 0, 1), trainable=layer.trainable)
    if layer.use_bias:
        set_values(conv.bias, value_of(layer.bias), trainable=layer.trainable)
    chain.add(conv)
    add_activation(layer, layer.activation, chain)


def _same_padding(layer: Any, sides: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """Return zeros to add (left, right, top, bottom) for Keras' `same`, or None for `valid`."""
    if layer.padding == "valid":
        return None
    if layer.padding != "same":
        raise unlike(layer, "padding", repr(layer.padding), "'valid' or 'same'")
    pads: list[int] = []
    for length, side, stride in zip(layer.input.shape[1:3], sides, strides, strict=True):
        if length is None and stride != 1:
            raise unlike(layer, "image", "an unknown size", "a known one to pad")
        total = side - 1 if stride == 1 else max((-(-length // stride) - 1) * stride + side - length, 0)
        pads += [total // 2, total - total // 2]
    return pads[2], pads[3], pads[0], pads[1]


def _max_pool(layer: Any, chain: Chain) -> None:
    need(layer, {"data_format": "channels_last"})
    chain.as_torch()
    size, strides = tuple(layer.pool_size), tuple(layer.strides)
    padding = _same_padding(layer, size, strides)
    if padding is not None and any(padding):
        chain.add(nn.ConstantPad2d(padding, -torch.inf))
    chain.add(nn.MaxPool2d(size, strides))


def _average_pool(layer: Any, chain: Chain) -> None:
    need(layer, {"data_format": "channels_last"})
    size, strides = tuple(layer.pool_size), tuple(layer.strides)
    if any(_same_padding(layer, size, strides) or ()):
        raise unlike(layer, "result", "an average over padding", "windows that fit the image")
    chain.as_torch()
    chain.add(nn.AvgPool2d(size, strides))


def _global_pool(layer: Any, chain: Chain) -> None:
    need(layer, {"data_format": "channels_last", "keepdims": False})
    chain.as_torch()
    kind = nn.AdaptiveAvgPool2d if "Average" in type(layer).__name__ else nn.AdaptiveMaxPool2d
    chain.add(kind(1), nn.Flatten())
    chain.channels_first = False


def _flatten(layer: Any, chain: Chain) -> None:
    need(layer, {"data_format": "channels_last"})
    chain.as_keras()
    chain.add(nn.Flatten())


def _reshape(layer: Any, chain: Chain) -> None:
    chain.as_keras()
    shape = tuple(layer.output.shape[1:])
    if any(side is None for side in shape):
        raise unlike(layer, "shape", shape, "known sizes")
    chain.add(nn.Flatten(), nn.Unflatten(1, shape))


def _rescaling(layer: Any, chain: Chain) -> None:
    if not all(isinstance(one, (int, float)) for one in (layer.scale, layer.offset)):
        raise unlike(layer, "scale", "one a channel", "one number")
    chain.add(Rescale(float(layer.scale), float(layer.offset)))


def _dropout(layer: Any, chain: Chain) -> None:
    need(layer, {"noise_shape": None})
    chain.add(nn.Dropout(layer.rate))


def _batch_norm(layer: Any, chain: Chain) -> None:
    rank = len(layer.input.shape)
    need(layer, {"axis": rank - 1 if layer.axis > 0 else -1})
    if rank not in (2, 4):
        raise unlike(layer, "rank of the inputs", rank, "2 or 4")
    if rank == 4:
        chain.as_torch()
    kind = nn.BatchNorm2d if rank == 4 else nn.BatchNorm1d
    mean = value_of(layer.moving_mean)
    # Keras' momentum is the share that is kept, torch's the share that is replaced.
    norm = kind(len(mean), eps=layer.epsilon, momentum=1.0 - layer.momentum)
    ones = torch.ones_like(mean)
    set_values(norm.weight, value_of(layer.gamma) if layer.scale else ones, trainable=layer.scale and layer.trainable)
    set_values(
        norm.bias, value_of(layer.beta) if layer.center else 0 * ones, trainable=layer.center and layer.trainable
    )
    with torch.no_grad():
        set_values(norm.running_mean, mean, trainable=False)
        set_values(norm.running_var, value_of(layer.moving_variance), trainable=False)
    chain.add(norm)


def _layer_norm(layer: Any, chain: Chain) -> None:
    rank = len(layer.input.shape)
    axis = layer.axis if isinstance(layer.axis, int) else list(layer.axis)
    if axis not in (-1, rank - 1, [-1], [rank - 1]) or not (layer.scale and layer.center):
        raise unlike(layer, "axis", layer.axis, "the last, scaled and centred")
    chain.as_keras()
    gamma = value_of(layer.gamma)
    norm = nn.LayerNorm(len(gamma), eps=layer.epsilon)
    set_values(norm.weight, gamma, trainable=layer.trainable)
    set_values(norm.bias, value_of(layer.beta), trainable=layer.trainable)
    chain.add(norm)


def _activation(layer: Any, chain: Chain) -> None:
    add_activation(layer, layer.activation, chain)


def _relu(layer: Any, chain: Chain) -> None:
    if layer.threshold or layer.max_value is not None:
        raise unlike(layer, "option", "a threshold or a largest value", "neither")
    chain.add(nn.LeakyReLU(float(layer.negative_slope)) if layer.negative_slope else nn.ReLU())


def _leaky_relu(layer: Any, chain: Chain) -> None:
    chain.add(nn.LeakyReLU(float(layer.negative_slope)))


def _softmax(layer: Any, chain: Chain) -> None:
    need(layer, {"axis": -1})
    chain.add(nn.Softmax(1 if chain.channels_first else -1))


def _zero_padding(layer: Any, chain: Chain) -> None:
    need(layer, {"data_format": "channels_last"})
    chain.as_torch()
    (top, bottom), (left, right) = layer.padding
    chain.add(nn.ZeroPad2d((left, right, top, bottom)))


def _embedding(layer: Any, chain: Chain) -> None:
    need(layer, {"mask_zero": False, "lora_enabled": False})
    table = value_of(layer.embeddings)
    embedding = nn.Embedding(table.shape[0], table.shape[1])
    set_values(embedding.weight, table, trainable=layer.trainable)
    chain.add(embedding)


def _recurrent(layer: Any, chain: Chain) -> None:
    need(
        layer,
        {"go_backwards": False, "stateful": False, "return_state": False, "dropout": 0.0, "recurrent_dropout": 0.0},
    )
    kind = type(layer).__name__
    activation = getattr(layer.activation, "__name__", "")
    if activation != "tanh" and not (kind == "SimpleRNN" and activation == "relu"):
        raise unlike(layer, "activation", repr(activation), "'tanh'")
    if kind != "SimpleRNN" and getattr(layer.recurrent_activation, "__name__", "") != "sigmoid":
        raise unlike(layer, "gates", "another activation", "'sigmoid'")
    if kind == "GRU":
        need(layer, {"reset_after": True})
    chain.as_keras()
    cell = layer.cell
    kernel, recurrent = value_of(cell.kernel).T, value_of(cell.recurrent_kernel).T
    if kind == "SimpleRNN":
        made: nn.RNNBase = nn.RNN(kernel.shape[1], layer.units, nonlinearity=activation, batch_first=True)
    else:
        made = (nn.LSTM if kind == "LSTM" else nn.GRU)(kernel.shape[1], layer.units, batch_first=True)
    biases = _biases(layer, cell, kernel.shape[0])
    weights = [_gates(kind, one) for one in (kernel, recurrent, *biases)]
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    trained = (True, True, layer.use_bias, layer.use_bias and kind == "GRU")
    for name, values, train in zip(names, weights, trained, strict=True):
        set_values(getattr(made, name), values, trainable=train and layer.trainable)
    chain.add(States(made, every_step=layer.return_sequences))


def _biases(layer: Any, cell: Any, rows: int) -> tuple[Tensor, Tensor]:
    """Return torch's two biases: Keras has both only in the GRU; elsewhere the second stays zero and untrained."""
    if not layer.use_bias:
        return torch.zeros(rows), torch.zeros(rows)
    bias = value_of(cell.bias)
    return (bias[0], bias[1]) if bias.dim() == 2 else (bias, torch.zeros(rows))


def _gates(kind: str, values: Tensor) -> Tensor:
    """Reorder gates: Keras' GRU has update, reset, candidate; torch's reset, update, candidate. The others agree."""
    if kind != "GRU":
        return values
    update, reset, candidate = values.chunk(3)
    return torch.cat([reset, update, candidate])


def _nothing(layer: Any, chain: Chain) -> None:
    """Add nothing: the layer changes nothing."""


_CONVERTERS: dict[str, Callable[[Any, Chain], None]] = {
    "Dense": _dense,
    "Conv2D": _convolution,
    "MaxPooling2D": _max_pool,
    "AveragePooling2D": _average_pool,
    "GlobalAveragePooling2D": _global_pool,
    "GlobalMaxPooling2D": _global_pool,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Rescaling": _rescaling,
    "Dropout": _dropout,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "Softmax": _softmax,
    "ZeroPadding2D": _zero_padding,
    "Embedding": _embedding,
    "SimpleRNN": _recurrent,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "InputLayer": _nothing,
    "Identity": _nothing,
}
