"""What was measured at sampled steps, still on its device, and how it becomes a window of plain arrays."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equipoise.vitals import plain
from equipoise.vitals.activations import Activation
from equipoise.vitals.following import Apply
from equipoise.vitals.kernel import Board
from equipoise.vitals.parameters import PARAMETER_SUMS
from equipoise.vitals.window import Layer, Weights, Window


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
    """One sampled step.

    Attributes:
        step: Optimiser step, counted from 1.
        rate: Learning rate of the first parameter group.
        backwards: Backward passes since the step before.
        losses: What was differentiated since the gradients were cleared.
        recorded: The loss that the user recorded, if any.
        passes: The forward passes that those gradients went through.
        measured: Whether the gradients were measured before the end of the step.
        weights: What the kernel could not measure of the parameters, by their place: `Entry.measure_weights`.
        gradients: The same of `Entry.measure_gradient`.
    """

    __slots__ = ("backwards", "gradients", "losses", "measured", "passes", "rate", "recorded", "step", "weights")

    def __init__(self) -> None:
        self.step = 0
        self.rate: float | Tensor = float("nan")
        self.backwards = 0
        self.losses: list[float | Tensor] = []
        self.recorded: float | Tensor | None = None
        self.passes: list[Pass] = []
        self.measured = False
        self.weights: dict[int, Tensor] = {}
        self.gradients: dict[int, Tensor] = {}

    def clear(self) -> None:
        """Forget what was gathered: its gradients were thrown away."""
        self.losses.clear()
        self.passes.clear()
        self.recorded = None


class Ring:
    """The rows of one window, and what the kernel measured in them.

    Args:
        window: Most rows.

    Attributes:
        rows: Those that are full.
        layers: (window, L, 8) numbers of `plain.SCALARS`, zero where nothing was measured.
        parameters: (window, P, 9) numbers of `PARAMETER_SUMS`, NaN where nothing was measured.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.rows: list[Row] = []
        self.layers = np.zeros((window, 0, len(plain.SCALARS)))
        self.parameters = np.full((window, 0, len(PARAMETER_SUMS)), np.nan)

    def make_room(self, layers: int, parameters: int) -> None:
        """Have room for so many layers and parameters in every row."""
        more_layers, more_parameters = layers - self.layers.shape[1], parameters - self.parameters.shape[1]
        if more_layers > 0:
            self.layers = np.pad(self.layers, ((0, 0), (0, more_layers), (0, 0)))
        if more_parameters > 0:
            wider = ((0, 0), (0, more_parameters), (0, 0))
            self.parameters = np.pad(self.parameters, wider, constant_values=np.nan)

    def clear(self) -> None:
        """Begin a new window."""
        self.layers[: len(self.rows)] = 0
        self.parameters[: len(self.rows)] = np.nan
        self.rows = []


def window_of(ring: Ring, slots: list[Slot], weights: tuple[Weights, ...], board: Board) -> Window:
    """Return the measurements of some steps as a window; the one place where a device is waited for."""
    rows = ring.rows
    ring.make_room(len(slots), len(weights))
    layers = _layers(ring, len(slots))
    sums = _parameters(ring, len(weights))
    return Window(
        steps=np.array([row.step for row in rows], np.int64),
        loss=_numbers([_loss_of(row) for row in rows]),
        learning_rate=_numbers([row.rate for row in rows]),
        layers=tuple(Layer(slot.name, slot.kind, slot.activation.name, slot.units) for slot in slots),
        activation=activation_numbers(layers, slots),
        fired=tuple(_fired(slot, board) for slot in slots),
        seen=layers[..., plain.ROWS].sum(0).astype(np.int64),
        weights=weights,
        gradient=gradient_numbers(sums, weights),
        weight=weight_numbers(sums, weights),
    )


def activation_numbers(sums: np.ndarray, slots: list[Slot]) -> dict[str, np.ndarray]:
    """Return what `Window.activation` holds, from (S, L, 8) sums."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        count = sums[..., plain.COUNT]
        mean = sums[..., plain.SUM] / count
        variance = sums[..., plain.SQUARES] / count - mean * mean
        saturated = sums[..., plain.SATURATED] / count
        saturated[:, [slot.activation.bounds is None for slot in slots]] = np.nan
        return {
            "mean": mean,
            "deviation": np.sqrt(np.where(variance > 0, variance, variance * 0)),
            "maximum": np.where(count > 0, sums[..., plain.MAXIMUM], np.nan),
            "zeros": sums[..., plain.ZEROS] / count,
            "saturated": saturated,
            "non_finite": np.where(count > 0, sums[..., plain.NON_FINITE], np.nan),
        }


def gradient_numbers(sums: np.ndarray, weights: tuple[Weights, ...]) -> dict[str, np.ndarray]:
    """Return what `Window.gradient` holds, from (S, P, 9) sums."""
    squared, zeros, wrong, product, now, previous = np.moveaxis(sums[..., 3:], -1, 0)
    count = np.array([max(one.count, 1) for one in weights])
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return {
            "norm": np.sqrt(squared),
            "zeros": zeros / count,
            "cosine": product / (np.sqrt(now) * np.sqrt(previous)),
            "non_finite": wrong,
        }


def weight_numbers(sums: np.ndarray, weights: tuple[Weights, ...]) -> dict[str, np.ndarray]:
    """Return what `Window.weight` holds, from (S, P, 9) sums."""
    share = np.array([one.compared / max(one.count, 1) for one in weights])
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        moved = np.sqrt(sums[..., 2] / share)
        before = np.where(sums[..., 1] > 0, sums[..., 1], np.nan)  # weights that start at zero have no ratio
        return {"norm": np.sqrt(sums[..., 0]), "update_ratio": moved / np.sqrt(before)}


def _layers(ring: Ring, count: int) -> np.ndarray:
    """Return the (S, L, 8) sums of all that was measured; zero where nothing was."""
    layers = ring.layers[: len(ring.rows), :count]
    found = [(at, one) for at, row in enumerate(ring.rows) for each in row.passes for one in each.found]
    for (at, (slot, *_)), values in zip(found, _together([one[1] for _, one in found]), strict=True):
        largest = np.maximum(layers[at, slot.index, plain.MAXIMUM], values[plain.MAXIMUM])
        layers[at, slot.index] += values
        layers[at, slot.index, plain.MAXIMUM] = largest
    return layers


def _parameters(ring: Ring, count: int) -> np.ndarray:
    """Return the (S, P, 9) sums of all parameters; NaN where nothing was measured."""
    sums = ring.parameters[: len(ring.rows), :count]
    for at, row in enumerate(ring.rows):
        for found, part in ((row.weights, slice(0, 3)), (row.gradients, slice(3, None))):
            if found:
                for index, values in zip(found, _together(list(found.values())), strict=True):
                    sums[at, index, part] = values
    return sums


def _together(tensors: list[Tensor]) -> list[np.ndarray]:
    """Bring small tensors of one shape to the processor, with one transfer a device."""
    if not tensors:
        return []
    brought: list[np.ndarray] = [np.empty(0)] * len(tensors)
    for device in {tensor.device for tensor in tensors}:
        at = [index for index, tensor in enumerate(tensors) if tensor.device == device]
        for index, values in zip(at, torch.stack([tensors[one] for one in at]).cpu().numpy(), strict=True):
            brought[index] = values
    return brought


def _loss_of(row: Row) -> float | Tensor:
    if row.recorded is not None:
        return row.recorded
    if not row.losses:
        return float("nan")
    total = row.losses[0]
    for one in row.losses[1:]:
        total = total + one
    return total


def _numbers(values: list[float | Tensor]) -> np.ndarray:
    tensors = [one.detach().double().reshape(()) for one in values if isinstance(one, Tensor)]
    brought = iter(_together(tensors))
    return np.array([float(next(brought)) if isinstance(one, Tensor) else float(one) for one in values], np.float64)


def _fired(slot: Slot, board: Board) -> np.ndarray:
    fired = np.zeros(slot.units, np.int64)
    measured = np.frombuffer(board.totals(slot.index))
    if len(measured):
        fired += measured.reshape(3, -1)[2].astype(np.int64)
    if slot.totals is not None:
        fired += slot.totals[2].cpu().numpy().astype(np.int64)
    return fired
