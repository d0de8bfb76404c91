"""What the units of a network say: every activation of a forward pass, whether it is a module or a plain call."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from equipoise.examine.gates import RECURRENT, Gate, Side, gates_of
from equipoise.networks.network import Network
from equipoise.networks.walk import named_layers

BOUNDED: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "special_expit": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}
"""Activations with two asymptotes, and where those lie."""

UNBOUNDED = frozenset(
    {"relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"}
    | {"hardswish", "log_sigmoid", "threshold", "glu", "clamp_min", "hardshrink", "softshrink"}
)
"""Activations that are unbounded on at least one side."""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """The outputs of one layer's units for some samples.

    Attributes:
        layer: Path of the layer whose outputs these are.
        function: The activation function (`relu`, `tanh`, ...), `gate:NAME` for a gate inside a recurrent layer,
            `state` for the states of a recurrent layer, or `output` for the network's scores.
        values: (n, units, positions).
        bounds: The asymptotes, where there are two.
        closed: The sides on which a unit that is always there passes nothing on.
        final: Whether these are the network's scores themselves.
    """

    layer: str
    function: str
    values: Tensor
    bounds: tuple[float, float] | None
    closed: tuple[Side, ...] = ("low", "high")
    final: bool = False


@torch.no_grad()
def listen(network: Network, inputs: Tensor, heard: Callable[[Activity], None]) -> None:
    """Run a network once and tell `heard` of every activation, in the order of the computation.

    Activations are caught as modules and as plain function calls alike. A unit is a channel of a convolution and a
    feature of anything else; its outputs at several positions or steps belong together.

    Args:
        network: A copy that this may hang hooks on; they are removed again.
        inputs: Raw inputs (n, ...).
        heard: Called with each activity; it must not keep `values`.
    """
    ear = _Ear(len(inputs), heard)
    handles: list[RemovableHandle] = []
    for name, layer in _layers_with_weights(network):
        handles.append(layer.register_forward_pre_hook(ear.entering(name)))
        if isinstance(layer, RECURRENT):
            handles.append(layer.register_forward_hook(ear.leaving_recurrent(name)))
    try:
        features = network.preprocess(inputs)
        with ear:
            scores = network.body(features)
        ear.finish(scores)
    finally:
        for handle in handles:
            handle.remove()


class _Ear(TorchFunctionMode):
    """Hears activation functions and knows which layer they follow."""

    def __init__(self, n: int, heard: Callable[[Activity], None]) -> None:
        super().__init__()
        self.n = n
        self.heard = heard
        self.layer = "input"
        self.axis = -1
        self.deaf = False
        # One activation is held back until the next, so that the one that makes the scores can be told apart.
        self.waiting: Activity | None = None

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Call the function, and tell of its result when it is an activation."""
        options = kwargs or {}
        out = func(*args, **options)
        name = "" if self.deaf else _activation_name(func, args, options)
        if name and isinstance(out, Tensor) and out.is_floating_point():
            self._tell(name, out, _bounds(name, args, options))
        return out

    def entering(self, name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
        """Return a hook that notes which layer is being computed."""

        def hook(module: nn.Module, _: tuple[object, ...]) -> None:
            self.layer, self.axis = name, _unit_axis(module)

        return hook

    def leaving_recurrent(self, name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        """Return a hook that works out the gates of a fused recurrent layer."""

        def hook(module: nn.Module, inputs: tuple[object, ...], _: object) -> None:
            self.deaf = True
            for gate in gates_of(module, inputs):
                self._release(_of_gate(name, gate))
            self.deaf = False

        return hook

    def finish(self, scores: Tensor) -> None:
        """Tell of the scores, and of the last activation unless it made them."""
        last = self.waiting
        # No layer came after it and it has as many values: it makes the scores, if only up to a logarithm.
        if last is not None and last.layer == self.layer and last.values.numel() == scores.numel():
            self.waiting = None
        self._release(None)
        values = by_unit(scores, self.n, self.axis)
        if values is not None:
            self.heard(Activity(self.layer, "output", values, None, final=True))

    def _tell(self, function: str, out: Tensor, bounds: tuple[float, float] | None) -> None:
        values = by_unit(out, self.n, self.axis)
        if values is not None:
            # Cloned since a later layer may write over it in place.
            self._release(Activity(self.layer, function, values.clone(), bounds))

    def _release(self, coming: Activity | None) -> None:
        if self.waiting is not None:
            self.heard(self.waiting)
        self.waiting = coming


def by_unit(out: Tensor, n: int, axis: int) -> Tensor | None:
    """Return outputs as (n, units, positions), or None when no axis belongs to the samples.

    Args:
        out: Outputs with the samples on the first axis, on the second (steps first), or samples and steps in one.
        n: Number of samples.
        axis: Which axis the units lie on.
    """
    if out.ndim < 2 or out.shape[0] == 0:
        return None
    if out.shape[0] != n:
        if out.ndim >= 3 and out.shape[1] == n:
            out = out.transpose(0, 1)
        elif out.shape[0] % n == 0:
            out = out.reshape(n, out.shape[0] // n, *out.shape[1:])
            axis = axis + 1 if axis > 0 and out.ndim > 3 else -1
        else:
            return None
    if out.ndim == 2:
        return out.unsqueeze(2)
    return out.movedim(axis, 1).flatten(2)


def _of_gate(layer: str, gate: Gate) -> Activity:
    return Activity(layer, gate.name, gate.values.transpose(1, 2), gate.bounds, gate.closed)


def _layers_with_weights(network: Network) -> list[tuple[str, nn.Module]]:
    """Return the layers that own a matrix or more; those of Keras models, which hide from `named_modules`, too."""
    named = {id(layer): (name, layer) for name, layer in network.named_modules()}
    named |= {id(layer): (name, layer) for name, layer in named_layers(network)}
    return [(name, layer) for name, layer in named.values() if _owns_weights(layer)]


def _owns_weights(layer: nn.Module) -> bool:
    own = list(layer.parameters(recurse=False))
    keras_weights = getattr(layer, "trainable_weights", None)
    if not own and isinstance(keras_weights, list):
        own = [getattr(one, "value", one) for one in keras_weights]
    return any(getattr(one, "ndim", 0) >= 2 for one in own)


def _unit_axis(module: nn.Module) -> int:
    if isinstance(module, _CONVOLUTIONS):
        return 1
    return 1 if getattr(module, "data_format", "") == "channels_first" else -1


def _activation_name(func: Callable[..., object], args: tuple[object, ...], options: dict[str, object]) -> str:
    name = str(getattr(func, "__name__", "")).removesuffix("_")
    if name == "clamp":
        low = args[1] if len(args) > 1 else options.get("min")
        high = args[2] if len(args) > 2 else options.get("max")
        return "relu" if low == 0 and high is None else ""
    return name if name in BOUNDED or name in UNBOUNDED else ""


def _bounds(name: str, args: tuple[object, ...], options: dict[str, object]) -> tuple[float, float] | None:
    if name != "hardtanh":
        return BOUNDED.get(name)
    low = options.get("min_val", args[1] if len(args) > 1 else -1.0)
    high = options.get("max_val", args[2] if len(args) > 2 else 1.0)
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return None
    # Torch computes ReLU6 as a hard tanh from 0 to 6, whose lower side is a rectifier's.
    return (float(low), float(high)) if low < 0 else None
