"""The hooks that hang on a watched network. A copy of the network, also by pickle, carries none that works."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from equipoise.vitals.kernel import Meter

Failed = Callable[[str, Exception], None]
_is_compiling, _is_tracing = torch.compiler.is_compiling, torch.jit.is_tracing


_NOTHING = getattr, (contextlib.nullcontext(), "__exit__")
"""What a hook becomes in a copy of a watched network: a call that does nothing, which loads without this package."""


class Gate:
    """A hook on the network as a whole.

    Args:
        tell: Called with what torch hands to the hook.
        failed: Called with the path (empty) and the exception when `tell` fails; the gate is silent from then on.
    """

    def __init__(self, tell: Callable[..., None], failed: Failed) -> None:
        self._tell: Callable[..., None] | None = tell
        self._failed = failed

    def __call__(self, *given: Any) -> None:
        """Tell of a call of the network; whatever goes wrong in there must not stop the training."""
        if self._tell is None or _is_compiling():  # a compiler that reads this leaves it out of its graph
            return
        try:
            self._tell(*given)
        except Exception as problem:  # our own mistake is never the user's
            self._tell = None
            self._failed("", problem)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Copy and pickle as a hook that does nothing: the watch is not the network's."""
        return _NOTHING


class Tap:
    """A hook on one place where activations are measured.

    Attributes:
        name: Path of the module.
        meter: Measures what it can by itself.
    """

    __slots__ = ("_failed", "_tell", "meter", "name")

    def __init__(self, name: str, meter: Meter, tell: Callable[..., None], failed: Failed) -> None:
        self.name = name
        self.meter = meter
        self._tell: Callable[..., None] | None = tell
        self._failed = failed

    def __call__(self, module: nn.Module, _: object, output: object) -> None:
        """Measure an output; whatever goes wrong in there must not stop the training."""
        if _is_compiling() or _is_tracing():
            return
        try:
            if not self.meter(output) and self._tell is not None:
                self._tell(self, module, output)
        except Exception as problem:  # our own mistake is never the user's
            self._tell = None
            self._failed(self.name, problem)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Copy and pickle as a hook that does nothing: the watch is not the network's."""
        return _NOTHING
