"""What the units of any network say in one forward pass: every activation, as a module or as a plain call."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from equipoise.examine.activations import BOUNDED, UNBOUNDED, by_unit
from equipoise.networks.foreign import first_tensor

RECTIFIERS = frozenset({"relu", "relu6", "threshold", "clamp_min", "hardswish", "hardshrink"})
"""Activations whose closed side is exactly 0 and passes no gradient."""


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """The outputs of one call of an activation function.

    Attributes:
        where: Path of the innermost module that made the call.
        follows: Path of the last layer with weights before it, or nothing.
        function: Name of the function, such as `relu`.
        values: (n, units, positions).
        given: What the function was given, in the same layout.
        bounds: Its asymptotes, where it has two.
        final: Whether these are the network's outputs.
    """

    where: str
    follows: str
    function: str
    values: Tensor
    given: Tensor
    bounds: tuple[float, float] | None
    final: bool = False


@torch.no_grad()
def hear(network: nn.Module, inputs: Tensor) -> list[Heard]:
    """Return what each activation function gives in one forward pass; hooks are taken off again.

    Args:
        network: A copy, in the mode wanted.
        inputs: (n, ...).
    """
    ear = _Ear(len(inputs))
    handles = []
    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(ear.entering(name)))
        handles.append(module.register_forward_hook(ear.leaving))
    try:
        with ear:
            outputs = first_tensor(network(inputs))
    finally:
        for handle in handles:
            handle.remove()
    found: list[Heard] = []
    for place, one in enumerate(ear.heard):
        final = place == len(ear.heard) - 1 and _is_output(one.values, outputs)
        found.append(Heard(one.where, one.follows, one.function, one.values, one.given, one.bounds, final))
    return found


class _Ear(TorchFunctionMode):
    """Hears activation functions and knows in which module they are called."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n
        self.stack: list[tuple[str, nn.Module]] = []
        self.follows = ""
        self.axis = -1
        self.heard: list[Heard] = []
        self.inside = False

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Call the function, and note its result when it is an activation."""
        options = kwargs or {}
        name = str(getattr(func, "__name__", "")).removesuffix("_")
        if name == "clamp":
            name = _clamp_name(args, options)
        watched = not self.inside and (name in BOUNDED or name in UNBOUNDED)
        first = args[0] if args else options.get("input")
        given = first.detach().clone() if watched and isinstance(first, Tensor) else None
        self.inside, before = self.inside or watched, self.inside
        try:
            out = func(*args, **options)
        finally:
            self.inside = before
        if given is not None and isinstance(out, Tensor) and out.is_floating_point() and out.shape == given.shape:
            self._note(name, out.detach(), given)
        return out

    def entering(self, name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
        """Return a hook that notes which module begins."""

        def hook(module: nn.Module, arguments: tuple[object, ...]) -> None:
            del arguments
            self.stack.append((name, module))
            if any(one.dim() > 1 for one in module.parameters(recurse=False)):
                self.follows = name
                convolution = isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
                self.axis = 1 if convolution else -1

        return hook

    def leaving(self, module: nn.Module, arguments: tuple[object, ...], result: object) -> None:
        """Note that a module ends."""
        del arguments, result
        if self.stack and self.stack[-1][1] is module:
            self.stack.pop()

    def _note(self, function: str, out: Tensor, given: Tensor) -> None:
        axis = self.axis if out.dim() > 2 else -1
        values, before = by_unit(out.clone(), self.n, axis), by_unit(given, self.n, axis)
        if values is None or before is None:
            return
        where = self.stack[-1][0] if self.stack else ""
        self.heard.append(Heard(where, self.follows, function, values, before, BOUNDED.get(function)))


def _clamp_name(args: tuple[object, ...], options: dict[str, object]) -> str:
    low = args[1] if len(args) > 1 else options.get("min")
    high = args[2] if len(args) > 2 else options.get("max")
    return "relu" if low == 0 and high is None else ""


def _is_output(values: Tensor, outputs: Tensor) -> bool:
    if values.numel() != outputs.numel():
        return False
    return bool(torch.equal(values.flatten().sort().values, outputs.detach().flatten().sort().values))
