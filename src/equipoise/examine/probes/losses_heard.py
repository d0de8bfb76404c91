"""What the losses inside of a user's own step are given."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from equipoise.networks.foreign import first_tensor

_LOOKED_AT = 64
"""Rows of a loss's input that are looked at."""
_ROUNDING = 1e-3
_RESHAPING = ("View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "Select", "T")
"""Beginnings of the names of operations that change no value."""


@dataclass(frozen=True, slots=True)
class Misfed:
    """A loss that was given what another loss expects.

    Attributes:
        sentence: What it was given, and what to change.
        suggests: Fault to the weight of this evidence, in nats.
    """

    sentence: str
    suggests: dict[str, float]


class LossesHeard(TorchFunctionMode):
    """Looks at what PyTorch's losses are given while it is entered; changes nothing.

    What a network puts out by itself is left to those who look at the network.

    Args:
        network: The network whose outputs are no finding.

    Attributes:
        found: Every kind of loss that was given something else than it expects.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.found: dict[str, Misfed] = {}
        self._outputs: set[int] = set()
        self._network = network

    def __enter__(self) -> Self:
        self._handle = self._network.register_forward_hook(self._put_out)
        super().__enter__()
        return self

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        self._handle.remove()
        super().__exit__(exc_type, exc_val, exc_tb)

    def _put_out(self, _: nn.Module, __: object, output: object) -> None:
        made = first_tensor(output)
        if made is not None:
            self._outputs.add(made.data_ptr())

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Look at the input of a loss, then call it."""
        del types
        given = args[0] if args else (kwargs or {}).get("input")
        if isinstance(given, Tensor) and func in _LOOKS and func.__name__ not in self.found:
            with suppress(RuntimeError):  # a tensor without memory of its own, inside of a transform
                self._look(func, given)
        return func(*args, **(kwargs or {}))

    def _look(self, func: Callable[..., Any], given: Tensor) -> None:
        found = None if given.data_ptr() in self._outputs else _LOOKS[func](given)
        if found is not None:
            self.found[func.__name__] = found


def _into_cross_entropy(given: Tensor) -> Misfed | None:
    if not _shares(given):
        return None
    sentence = "Inside of the step cross-entropy, which applies its own softmax, is given probabilities: no answer can "
    return Misfed(f"{sentence}be sure. Give it the network's outputs.", {"double_softmax": 6.0})


def _into_likelihood(given: Tensor) -> Misfed | None:
    if not _shares(given):
        return None
    sentence = "Inside of the step nll_loss, which expects log-probabilities, is given probabilities."
    suggests = {"loss_mismatch": 5.0, "wrong_output_activation": 1.5}
    return Misfed(f"{sentence} Use cross_entropy on the network's outputs.", suggests)


def _into_binary(given: Tensor) -> Misfed | None:
    node: Any = given.grad_fn
    while node is not None and node.name().startswith(_RESHAPING):
        node = node.next_functions[0][0]
    if node is None or not node.name().startswith("Sigmoid"):
        return None
    sentence = "Inside of the step binary cross-entropy on logits, which applies its own sigmoid, is given one: no "
    suggests = {"double_softmax": 6.0, "wrong_output_activation": 1.5}
    return Misfed(f"{sentence}answer can be sure. Give it the network's outputs.", suggests)


@torch.no_grad()
def _shares(given: Tensor) -> bool:
    """Whether rows are probabilities of classes: none below zero, and one in sum."""
    if given.dim() < 2 or given.shape[1] < 2 or len(given) < 2 or not given.is_floating_point():
        return False
    rows = given[:_LOOKED_AT].detach().float()
    return bool((rows >= 0).all()) and bool(((rows.sum(1) - 1).abs() < _ROUNDING).all())


_LOOKS: dict[Callable[..., Any], Callable[[Tensor], Misfed | None]] = {
    functional.cross_entropy: _into_cross_entropy,
    functional.nll_loss: _into_likelihood,
    functional.binary_cross_entropy_with_logits: _into_binary,
}
