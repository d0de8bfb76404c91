"""A chain of torch layers that grows while a Keras model is read, and how single values are taken over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


class NotConvertibleError(Exception):
    """A Keras layer or option has no equal among torch's layers; the message says which."""


def unlike(part: Any, what: str, got: object, expected: str) -> NotConvertibleError:
    """Return the error of a layer or model that cannot be converted.

    Args:
        part: The Keras layer or model.
        what: What was looked at, such as `padding`.
        got: What it is.
        expected: What can be converted.
    """
    return NotConvertibleError(
        f"got {got} as {what} of {part.name!r}; expected {expected}. Keep the model behind the adapter."
    )


@dataclass
class Chain:
    """Torch layers so far, and whether what flows through is an image with channels first."""

    layers: list[nn.Module] = field(default_factory=list)
    channels_first: bool = False

    def add(self, *layers: nn.Module) -> None:
        """Append layers."""
        self.layers += layers

    def as_keras(self) -> None:
        """Bring images back into Keras' order, channels last."""
        if self.channels_first:
            self.add(Permute(0, 2, 3, 1))
            self.channels_first = False

    def as_torch(self) -> None:
        """Bring images into torch's order, channels first."""
        if not self.channels_first:
            self.add(Permute(0, 3, 1, 2))
            self.channels_first = True


class Permute(nn.Module):
    """Reorder the axes."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the view with its axes in another order."""
        return inputs.permute(self.order)


class Rescale(nn.Module):
    """Multiply and add fixed numbers."""

    def __init__(self, scale: float, offset: float) -> None:
        super().__init__()
        self.scale = scale
        self.offset = offset

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs * scale + offset."""
        return inputs * self.scale + self.offset


class States(nn.Module):
    """A recurrent layer that gives all states, or the last one only."""

    def __init__(self, cell: nn.Module, *, every_step: bool) -> None:
        super().__init__()
        self.cell = cell
        self.every_step = every_step

    def forward(self, inputs: Tensor) -> Tensor:
        """Return states (n, steps, hidden), or (n, hidden)."""
        states: Tensor = self.cell(inputs)[0]
        return states if self.every_step else states[:, -1]


def value_of(variable: Any) -> Tensor:
    """Return a copy of a Keras variable's tensor."""
    value: Tensor = variable.value
    return value.detach().clone()


def set_values(parameter: Tensor | None, values: Tensor, *, trainable: bool = True) -> None:
    """Copy values into a parameter or buffer, and say whether it is trained."""
    if parameter is None:
        return
    with torch.no_grad():
        parameter.copy_(values)
    parameter.requires_grad_(trainable)


def need(layer: Any, expected: Mapping[str, object]) -> None:
    """Refuse a layer whose options are not the expected ones.

    Raises:
        NotConvertibleError: One of them differs.
    """
    for name, value in expected.items():
        got = getattr(layer, name)
        if got != value:
            raise unlike(layer, name, repr(got), repr(value))


def add_activation(layer: Any, function: Any, chain: Chain) -> None:
    """Add the activation function of a Keras layer.

    Raises:
        NotConvertibleError: Torch has no such activation.
    """
    name = getattr(function, "__name__", "")
    axis = 1 if chain.channels_first else -1
    table: dict[str, Callable[[], list[nn.Module]]] = {
        "linear": list,
        "relu": lambda: [nn.ReLU()],
        "sigmoid": lambda: [nn.Sigmoid()],
        "tanh": lambda: [nn.Tanh()],
        "softmax": lambda: [nn.Softmax(axis)],
        "log_softmax": lambda: [nn.LogSoftmax(axis)],
        "elu": lambda: [nn.ELU()],
        "selu": lambda: [nn.SELU()],
        "gelu": lambda: [nn.GELU()],
        "silu": lambda: [nn.SiLU()],
        "softplus": lambda: [nn.Softplus()],
        "leaky_relu": lambda: [nn.LeakyReLU(0.2)],
        "relu6": lambda: [nn.ReLU6()],
    }
    if name not in table:
        raise unlike(layer, "activation", name or function, f"one of {', '.join(table)}")
    chain.add(*table[name]())
