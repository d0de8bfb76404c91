"""The modules of a network in the order in which they run, and which of them makes the outputs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.networks.foreign import first_tensor


@dataclass(slots=True, eq=False)
class Call:
    """One call of one module.

    Attributes:
        name: Its path in `named_modules`.
        module: The module.
        inputs: Its first tensor argument, if any.
        outputs: The first tensor of what it returned, if any.
    """

    name: str
    module: nn.Module
    inputs: Tensor | None
    outputs: Tensor | None


@dataclass(slots=True, eq=False)
class Trace:
    """What ran in one forward pass.

    Attributes:
        calls: Calls of modules without children and of recurrent and attention layers, in order of their end.
        outputs: The first tensor of what the network returned.
        returned: All that it returned.
    """

    calls: list[Call] = field(default_factory=list)
    outputs: Tensor | None = None
    returned: Any = None

    def last(self) -> str:
        """Return the path of the module that makes the outputs: the last whose result they are, else the last run."""
        for call in reversed(self.calls):
            if call.outputs is not None and _same(call.outputs, self.outputs):
                return call.name
        return self.calls[-1].name if self.calls else ""

    def where_last(self) -> str:
        """Return the place `layer:<name>` of the module that makes the outputs."""
        return f"layer:{self.last()}"


WHOLE = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
"""Modules that compute as one, whatever is inside them."""

AFFINE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""Layers whose outputs are a linear map of their inputs plus a constant."""


def parts(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return path and module of everything that computes as one, in the order of registration."""
    found: list[tuple[str, nn.Module]] = []
    whole: list[str] = []
    for name, module in network.named_modules():
        if any(name.startswith(f"{one}.") for one in whole):
            continue
        if isinstance(module, WHOLE):
            whole.append(name)
            found.append((name, module))
        elif next(module.children(), None) is None or any(True for _ in module.parameters(recurse=False)):
            found.append((name, module))
    return found


def trace(network: nn.Module, inputs: Tensor, *, keep_graph: bool = False) -> Trace:
    """Run a network once and return what ran; hooks are taken off again.

    Args:
        network: A copy.
        inputs: (n, ...).
        keep_graph: Keep the graph of the tensors instead of detaching copies, so that gradients can be asked.
    """
    seen = Trace()
    with listening(parts(network), seen.calls.append, keep_graph=keep_graph), torch.set_grad_enabled(keep_graph):
        seen.returned = network(inputs)
        seen.outputs = first_tensor(seen.returned)
    return seen


@contextmanager
def listening(
    modules: list[tuple[str, nn.Module]], heard: Callable[[Call], None], *, keep_graph: bool = False
) -> Iterator[None]:
    """Tell `heard` of every call of some modules while the context is open."""

    def hook(name: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def note(module: nn.Module, arguments: tuple[object, ...], result: object) -> None:
            given = next((one for one in arguments if isinstance(one, Tensor)), None)
            made = _first(result)
            if not keep_graph:
                given, made = (None if one is None else one.detach().clone() for one in (given, made))
            heard(Call(name, module, given, made))

        return note

    handles = [module.register_forward_hook(hook(name)) for name, module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _first(result: object) -> Tensor | None:
    try:
        return first_tensor(result)
    except Exception:  # a module may return anything
        return None


def _same(one: Tensor, other: Tensor | None) -> bool:
    if other is None or one.numel() != other.numel():
        return False
    return one is other or bool(torch.equal(one.reshape(-1), other.reshape(-1)))
