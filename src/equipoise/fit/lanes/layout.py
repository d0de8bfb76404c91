"""Reads the body of a network as a chain of layers, where it is one."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LINEAR, FUNCTION, DROPOUT, BATCH_NORM, LAYER_NORM = range(5)
"""Kinds of layers, numbered as in `native/chain.h`."""

_FUNCTIONS = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.ELU, nn.SELU)
"""Activation functions, numbered by their place as in `native/chain.h`."""

_VALUES = {nn.LeakyReLU: "negative_slope", nn.ELU: "alpha"}
_NORMS = (nn.BatchNorm1d, nn.LayerNorm)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One layer of a chain.

    Attributes:
        name: Its path in the body.
        module: The module.
        kind: `LINEAR`, `FUNCTION`, `DROPOUT`, `BATCH_NORM` or `LAYER_NORM`.
        inputs, outputs: Widths.
        function: Number of the activation function.
        value: Slope or alpha of a function, share that dropout keeps, epsilon of a norm.
    """

    name: str
    module: nn.Module
    kind: int
    inputs: int
    outputs: int
    function: int = 0
    value: float = 0.0


def layers_of(body: nn.Module, shape: tuple[int, ...]) -> tuple[Layer, ...] | str:
    """Return the layers of a body, or why it is no chain of known ones.

    Known are linear layers, activation functions, dropout, batch and layer norm, one after another in (nested)
    `nn.Sequential`s of exactly these classes, without hooks, in float32 and without gaps in memory.

    Args:
        body: The body of a network.
        shape: Shape of the features of one sample.
    """
    flat, width = len(shape) == 1, torch.Size(shape).numel()
    found: list[Layer] = []
    for name, module in _leaves(body, ""):
        if is_hooked(module):
            return f"{name or 'the body'} has hooks or a forward of its own"
        if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
            flat = True
            continue
        if isinstance(module, nn.Identity) or (type(module) is nn.Dropout and module.p == 0):
            continue
        if not flat and type(module) not in _FUNCTIONS:
            return f"{name or 'the body'} takes features that are not flat"
        layer = _layer(name, module, width)
        if layer is None:
            return f"{name or 'the body'} ({type(module).__name__}) is not of a kind that is laid out"
        found.append(layer)
        width = layer.outputs
    tensors = [one for layer in found for one in layer.module.parameters()]
    if len({id(one) for one in tensors}) < len(tensors):
        return "layers share parameters"
    if any(not _is_plain(one) for one in tensors):
        return "a parameter is not float32 without gaps in memory"
    if not any(layer.kind == LINEAR for layer in found):
        return "there is no linear layer"
    return tuple(found)


def is_hooked(module: nn.Module) -> bool:
    """Return whether anybody listens to a module: forward, backward or before either; or has replaced its `forward`."""
    own = vars(module)
    return "forward" in own or any(own[name] for name in own if name.endswith("_hooks") and isinstance(own[name], dict))


def _leaves(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of nested sequences in order; a sequence that is hooked comes as a whole."""
    if type(module) is not nn.Sequential or not isinstance(module, nn.Sequential) or is_hooked(module):
        yield name, module
        return
    names = {id(child): key for key, child in module.named_children()}
    for child in module:  # a child that comes twice is there twice
        key = names[id(child)]
        yield from _leaves(child, f"{name}.{key}" if name else key)


def _layer(name: str, module: nn.Module, width: int) -> Layer | None:
    kind = type(module)
    if kind is nn.Linear and isinstance(module, nn.Linear):
        return Layer(name, module, LINEAR, width, module.out_features) if module.in_features == width else None
    if kind is nn.Dropout and isinstance(module, nn.Dropout):
        return Layer(name, module, DROPOUT, width, width, value=1 - module.p) if module.p < 1 else None
    if kind in _NORMS:
        return _norm(name, module, width)
    if kind not in _FUNCTIONS or getattr(module, "approximate", "none") != "none":
        return None
    value = float(getattr(module, _VALUES[kind])) if kind in _VALUES else 0.0
    return Layer(name, module, FUNCTION, width, width, function=_FUNCTIONS.index(kind), value=value)


def _norm(name: str, module: nn.Module, width: int) -> Layer | None:
    if isinstance(module, nn.LayerNorm):
        fits = tuple(module.normalized_shape) == (width,)
        return Layer(name, module, LAYER_NORM, width, width, value=module.eps) if fits else None
    if not isinstance(module, nn.BatchNorm1d) or module.num_features != width or module.momentum is None:
        return None
    return Layer(name, module, BATCH_NORM, width, width, value=module.eps)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.dtype is torch.float32 and tensor.device.type == "cpu" and tensor.is_contiguous()
