"""The calls of a forward pass: which layer and which activation function ran, in order, module or plain call alike."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

SQUASHING = ("sigmoid", "softmax", "log_softmax", "tanh", "hardsigmoid", "hardtanh", "softsign", "logsigmoid")
"""Activations that bound what they put out, on one side at least."""

RECTIFYING = ("relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus")
"""Activations that bend without squashing both sides."""

ACTIVATIONS = frozenset(SQUASHING) | frozenset(RECTIFYING)

WEIGHT_LAYERS = (
    nn.Linear,
    nn.Bilinear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.RNNBase,
    nn.Embedding,
    nn.MultiheadAttention,
)
"""Modules whose weights mix features."""

_SYNONYMS = {
    "special_expit": "sigmoid",
    "special_softmax": "softmax",
    "special_log_softmax": "log_softmax",
    "log_sigmoid": "logsigmoid",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call in a forward pass.

    Attributes:
        kind: `weights` for a layer with weights, `dropout`, `norm`, or `activation`.
        name: Name of the activation function, or class name of the module.
        path: Path of the module that ran, or of the one inside which a plain call was made.
        is_module: Whether it is a leaf module of its own, which can be replaced.
        count: How many calls of this very path came before it.
        is_output: Whether its result is what the network puts out, if only in another shape.
    """

    kind: str
    name: str
    path: str
    is_module: bool
    count: int
    is_output: bool = False


def activation_name(function: object) -> str:
    """Return the plain name of an activation function, or an empty string for any other function."""
    name = str(getattr(function, "__name__", "")).removesuffix("_")
    name = _SYNONYMS.get(name, name)
    return name if name in ACTIVATIONS else ""


def calls(network: nn.Module, inputs: Tensor) -> tuple[Call, ...]:
    """Return the calls of one forward pass in evaluation mode, in order; the network is left as it was.

    Args:
        network: Any module.
        inputs: A few samples (n, ...).
    """
    return tuple(call for call, _ in calls_and_results(network, inputs))


def calls_and_results(network: nn.Module, inputs: Tensor) -> tuple[tuple[Call, Tensor | None], ...]:
    """Return the calls of one forward pass with what each put out; None for a module that puts out no tensor.

    Args:
        network: Any module.
        inputs: Samples (n, ...).
    """
    listener = _Listener()
    modes = [(module, module.training) for module in network.modules()]
    handles = [
        handle
        for path, module in network.named_modules()
        for handle in (
            module.register_forward_pre_hook(listener.entering(path)),
            module.register_forward_hook(listener.leaving(path)),
        )
    ]
    try:
        network.eval()
        with torch.no_grad(), listener:
            out = network(inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return listener.finished(out)


class _Listener(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.heard: list[tuple[str, str, str, bool]] = []
        self.results: list[Tensor | None] = []

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        out = func(*args, **(kwargs or {}))
        name = activation_name(func)
        if not name and str(getattr(func, "__name__", "")).removesuffix("_") in ("clamp", "clamp_min", "threshold"):
            name = _clamped(args, kwargs or {})
        if name and isinstance(out, Tensor) and out.is_floating_point():
            self._note("activation", name, self.stack[-1] if self.stack else "", False, out)
        return out

    def entering(self, path: str) -> Callable[[nn.Module, object], None]:
        """Return a hook that notes which module is being computed."""

        def hook(_: nn.Module, __: object) -> None:
            self.stack.append(path)

        return hook

    def leaving(self, path: str) -> Callable[[nn.Module, object, object], None]:
        """Return a hook that notes what a module put out."""

        def hook(module: nn.Module, _: object, out: object) -> None:
            if self.stack:
                self.stack.pop()
            result = out if isinstance(out, Tensor) else None
            leaf = next(module.children(), None) is None
            if isinstance(module, WEIGHT_LAYERS):
                self._note("weights", type(module).__name__, path, True, result)
            elif isinstance(
                module, (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
            ):
                self._note("dropout", type(module).__name__, path, True, result)
            elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)):
                self._note("norm", type(module).__name__, path, True, result)
            elif leaf and self.heard and self.heard[-1][0] == "activation" and self.heard[-1][2] == path:
                kind, name, _, _ = self.heard[-1]
                self.heard[-1] = (kind, name, path, True)  # the call was the whole of this module

        return hook

    def finished(self, out: object) -> tuple[tuple[Call, Tensor | None], ...]:
        """Return what was heard, with the call that made the output marked."""
        seen: dict[str, int] = {}
        found: list[tuple[Call, Tensor | None]] = []
        for position, (kind, name, path, is_module) in enumerate(self.heard):
            key = f"{kind}:{path}"
            last = position == len(self.heard) - 1 and _same_values(self.results[position], out)
            found.append((Call(kind, name, path, is_module, seen.get(key, 0), last), self.results[position]))
            seen[key] = seen.get(key, 0) + 1
        return tuple(found)

    def _note(self, kind: str, name: str, path: str, is_module: bool, out: Tensor | None) -> None:
        self.heard.append((kind, name, path, is_module))
        # Cloned since a later layer may write over it in place.
        self.results.append(None if out is None else out.detach().clone())


def _clamped(args: tuple[object, ...], options: dict[str, object]) -> str:
    low = args[1] if len(args) > 1 else options.get("min")
    high = args[2] if len(args) > 2 else options.get("max")
    return "relu" if low == 0 and high is None else ""


def _same_values(result: Tensor | None, out: object) -> bool:
    if not isinstance(result, Tensor) or not isinstance(out, Tensor) or result.numel() != out.numel():
        return False
    return bool(torch.equal(result.reshape(-1), out.reshape(-1)))
