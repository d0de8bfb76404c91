"""What is gathered of one step, and the rows of a window."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from equipoise.vitals import plain
from equipoise.vitals.activations import Activation
from equipoise.vitals.following import Apply
from equipoise.vitals.parameters import PARAMETER_SUMS


@dataclass(slots=True, eq=False)
class Slot:
    """One call of one module: what it is, and what its units did in this window.

    Its index is also the number of its place on the kernel's board.

    Attributes:
        index: Its place in the order of the computation.
        name: Path of the module, with `@2` and so on for a further call.
        kind: Class name of the module.
        activation: The activation function whose output is measured.
        apply: The call that makes that output of the module's own, where the activation is a plain call.
        operation: Name of the autograd node that made the module's output.
        units: How many there are.
        axes: Where they lie, by the number of axes of the output.
        totals: (3, units) sums of `plain.UNIT_SUMS` over the window, of what the kernel did not measure.
    """

    index: int
    name: str
    kind: str
    activation: Activation
    apply: Apply | None
    operation: str
    units: int = 1
    axes: dict[int, int | None] = field(default_factory=dict)
    totals: Tensor | None = None

    @property
    def rectified(self) -> bool:
        """Whether a plain call of ReLU follows, which the kernel applies while it reads."""
        return self.apply is not None and self.activation.name == "relu"


Found = tuple[Slot, Tensor, Tensor]
"""A slot, its (8,) scalars and (3, U) unit sums of one call."""


@dataclass(slots=True, eq=False)
class Pass:
    """One forward pass of the network.

    Attributes:
        training: Whether the network was in training mode.
        sheet: What the kernel measured.
        found: What it could not measure.
        marked: Whether a hook tells when its gradient is taken.
        confirmed: Whether that hook has told so.
    """

    training: bool
    sheet: Any
    found: list[Found]
    marked: bool = False
    confirmed: bool = False

    def confirm(self, _: Tensor) -> None:
        """Note that the gradient is being taken; a hook on what the network returned."""
        self.confirmed = True


class Row:
    """What is gathered of the step that is being made, if it is sampled.

    Attributes:
        losses: What was differentiated since the gradients were cleared.
        recorded: The loss that the user recorded, if any.
        sheets: What the kernel measured in the forward passes that those gradients went through.
        found: What it could not measure in them.
        measured: Whether the gradients were measured before the end of the step.
        weights: What the kernel could not measure of the parameters, by their place: `Entry.measure_weights`.
        gradients: The same of `Entry.measure_gradient`.
    """

    __slots__ = ("found", "gradients", "losses", "measured", "recorded", "sheets", "weights")

    def __init__(self) -> None:
        self.losses: list[float | Tensor] = []
        self.recorded: float | Tensor | None = None
        self.sheets: list[Any] = []
        self.found: list[Found] = []
        self.measured = False
        self.weights: dict[int, Tensor] = {}
        self.gradients: dict[int, Tensor] = {}

    def clear(self) -> None:
        """Forget what was gathered: its gradients were thrown away."""
        self.losses.clear()
        self.sheets.clear()
        self.found.clear()
        self.recorded = None

    @property
    def loss(self) -> float | Tensor:
        """The loss of the step, NaN when nobody knows it."""
        if self.recorded is not None:
            return self.recorded
        losses = self.losses
        return losses[0] if len(losses) == 1 else sum(losses[1:], losses[0]) if losses else float("nan")


@dataclass(slots=True, eq=False)
class Later:
    """What is still on a device of one row.

    Attributes:
        layers: Index of the layer and its (8,) scalars.
        weights: See `Row`.
        gradients: See `Row`.
    """

    layers: list[tuple[int, Tensor]]
    weights: dict[int, Tensor]
    gradients: dict[int, Tensor]


class Ring:
    """The rows of one window: lists of numbers, and arrays that the kernel writes into.

    Args:
        window: Most rows.

    Attributes:
        steps: Optimiser steps, counted from 1.
        losses: NaN where nobody knew the loss.
        known: Whether a loss was differentiated or recorded.
        rates: Learning rates of the first parameter group.
        backwards: Backward passes of the step.
        layers: (window, L, 8) numbers of `plain.SCALARS`, zero where nothing was measured.
        parameters: (window, P, 9) numbers of `PARAMETER_SUMS`, NaN where nothing was measured.
        later: What is still on a device, by the number of the row.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.layers = np.zeros((window, 0, len(plain.SCALARS)))
        self.parameters = np.full((window, 0, len(PARAMETER_SUMS)), np.nan)
        self.later: dict[int, Later] = {}
        self.steps: list[int] = []
        self.losses: list[float | Tensor] = []
        self.known: list[bool] = []
        self.rates: list[float | Tensor] = []
        self.backwards: list[int] = []

    @property
    def lists(self) -> tuple[list[Any], ...]:
        """What grows by one with every row, in the order of `append`."""
        return self.steps, self.losses, self.known, self.rates, self.backwards

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.steps)

    def make_room(self, layers: int, parameters: int) -> None:
        """Have room for so many layers and parameters in every row."""
        more_layers, more_parameters = layers - self.layers.shape[1], parameters - self.parameters.shape[1]
        if more_layers > 0:
            self.layers = np.pad(self.layers, ((0, 0), (0, more_layers), (0, 0)))
        if more_parameters > 0:
            wider = ((0, 0), (0, more_parameters), (0, 0))
            self.parameters = np.pad(self.parameters, wider, constant_values=np.nan)

    def append(self, row: Row, step: int, rate: float | Tensor, backwards: int) -> None:
        """Take a row, whose numbers in `layers` and `parameters` are in their place already."""
        if row.found or row.weights or row.gradients:
            layers = [(slot.index, scalars) for slot, scalars, _ in row.found]
            self.later[self.count] = Later(layers, row.weights, row.gradients)
        self.steps.append(step)
        self.losses.append(row.loss)
        self.known.append(bool(row.losses) or row.recorded is not None)
        self.rates.append(rate)
        self.backwards.append(backwards)

    def correct(self, loss: float | Tensor) -> None:
        """Give the last row the loss that the user recorded after its step."""
        self.losses[-1], self.known[-1] = loss, True

    def give_up(self) -> None:
        """Drop what cannot be brought from its device: no number is known there."""
        self.later.clear()
        for at, loss in enumerate(self.losses):
            if isinstance(loss, Tensor):
                self.losses[at], self.known[at] = float("nan"), False
        self.rates[:] = [float("nan") if isinstance(one, Tensor) else one for one in self.rates]

    def clear(self) -> None:
        """Begin a new window."""
        self.layers[: self.count] = 0
        self.parameters[: self.count] = np.nan
        self.later.clear()
        for numbers in self.lists:
            numbers.clear()
