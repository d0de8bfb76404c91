"""Learns which activation function follows which layer, when it is a plain call and not a module."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from equipoise.vitals.activations import Activation, of_function

_CARRIED_ON = frozenset(
    {"max_pool1d", "max_pool2d", "max_pool3d", "_max_pool1d", "_max_pool2d", "_max_pool3d", "boolean_dispatch", "fn"}
    | {"dropout", "dropout1d", "dropout2d", "dropout_", "view", "reshape", "flatten", "permute", "transpose"}
    | {"contiguous", "squeeze", "unsqueeze"}
)
"""Functions after which an activation still acts on each of the layer's values, or commutes with them."""

Apply = Callable[[Tensor], Tensor]


@dataclass(slots=True, eq=False)
class Followed:
    """A plain call that is an activation of what a layer put out.

    Attributes:
        layer: What was handed to `put_out`.
        activation: The activation function.
        apply: Calls it again, with the same further arguments, on other values and never in place.
        result: What it returned.
    """

    layer: object
    activation: Activation
    apply: Apply
    result: Tensor


class Following(TorchFunctionMode):
    """Watches the calls of one forward pass.

    Args:
        found: Called with every activation of what a layer put out.
    """

    def __init__(self, found: Callable[[Followed], None]) -> None:
        super().__init__()
        self._found = found
        self._layers: dict[int, tuple[weakref.ref[Tensor], object, bool]] = {}
        self._activated: dict[int, tuple[weakref.ref[Tensor], Activation]] = {}

    def put_out(self, layer: object, output: Tensor, *, carried: bool = False) -> None:
        """Note that a layer has just put out a tensor; `carried` when something harmless happened to it since."""
        self._layers[id(output)] = (weakref.ref(output), layer, carried)

    def layer_of(self, value: object) -> object | None:
        """Return the layer that put a tensor out, if one did."""
        known = self._layers.get(id(value))
        return known[1] if known is not None and known[0]() is value else None

    def activation_of(self, value: object) -> Activation:
        """Return the activation function that returned a tensor, if one did."""
        known = self._activated.get(id(value))
        return known[1] if known is not None and known[0]() is value else Activation()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function; note it when it is an activation of something that a layer put out."""
        options = kwargs or {}
        layer = self.layer_of(args[0]) if args else None
        carried = layer is not None and self._layers[id(args[0])][2]
        result = func(*args, **options)
        if not isinstance(result, Tensor):
            return result
        name = getattr(func, "__name__", "")
        activation = _activation(name, args, options)
        if activation.name:
            self._activated[id(result)] = (weakref.ref(result), activation)
            if layer is not None and not (carried and "soft" in activation.name):  # those act along an axis
                self._found(Followed(layer, activation, _applying(func, name, args[1:], options), result))
        elif layer is not None and name in _CARRIED_ON:
            self.put_out(layer, result, carried=True)
        return result


def _applying(func: Callable[..., Any], name: str, rest: tuple[Any, ...], options: dict[str, Any]) -> Apply:
    """Return the call with the same further arguments, on other values and never in place."""
    kept = {key: value for key, value in options.items() if key != "inplace"}
    plain = getattr(torch, name.removesuffix("_"), func) if name.endswith("_") else func
    return lambda values: plain(values, *rest, **kept)


def _activation(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Activation:
    if name in ("clamp", "clamp_", "clamp_min", "clamp_min_"):
        low = args[1] if len(args) > 1 else options.get("min")
        high = args[2] if len(args) > 2 else options.get("max")
        return Activation("relu") if high is None and isinstance(low, (int, float)) and low == 0 else Activation()
    if name in ("rrelu", "rrelu_", "glu"):  # draws random numbers; halves the units
        return Activation()
    return of_function(name)
