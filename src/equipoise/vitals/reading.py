"""Reads the rows of a window as plain arrays."""

import numpy as np
import torch
from torch import Tensor

from equipoise.vitals import plain
from equipoise.vitals.kernel import Board
from equipoise.vitals.rows import Ring, Slot
from equipoise.vitals.window import Layer, Weights, Window


def window_of(ring: Ring, slots: list[Slot], weights: tuple[Weights, ...], board: Board) -> Window:
    """Return the rows of a ring as a window; the one place where a device is waited for."""
    ring.make_room(len(slots), len(weights))
    if ring.later:
        _fetch(ring)
    layers = ring.layers[: ring.count, : len(slots)]
    sums = ring.parameters[: ring.count, : len(weights)]
    return Window(
        steps=np.array(ring.steps, np.int64),
        loss=_numbers(ring.losses),
        learning_rate=_numbers(ring.rates),
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
        count, total, squares, maximum, zeros, saturated, wrong, _ = np.moveaxis(sums, -1, 0).copy()
        count[count == 0] = np.nan  # nothing was measured
        mean = total / count
        variance = squares / count - mean * mean
        bounded = np.array([0.0 if slot.activation.bounds else np.nan for slot in slots])
        return {
            "mean": mean,
            "deviation": np.sqrt(np.maximum(variance, 0)),  # keeps NaN
            "maximum": maximum + count * 0,
            "zeros": zeros / count,
            "saturated": saturated / count + bounded,
            "non_finite": wrong + count * 0,
        }


def gradient_numbers(sums: np.ndarray, weights: tuple[Weights, ...]) -> dict[str, np.ndarray]:
    """Return what `Window.gradient` holds, from (S, P, 9) sums."""
    squared, zeros, wrong, product, now, previous = np.moveaxis(sums[..., 3:], -1, 0).copy()
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


def _fetch(ring: Ring) -> None:
    """Bring what is still on a device into the arrays of a ring."""
    rows = ring.later.items()
    layers = [(at, index, one) for at, row in rows for index, one in row.layers]
    for (at, index, _), values in zip(layers, _together([one for *_, one in layers]), strict=True):
        here = ring.layers[at, index]
        largest = np.maximum(here[plain.MAXIMUM], values[plain.MAXIMUM])
        here += values
        here[plain.MAXIMUM] = largest
    weights = [(at, index, one) for at, row in rows for index, one in row.weights.items()]
    gradients = [(at, index, one) for at, row in rows for index, one in row.gradients.items()]
    for found, part in ((weights, slice(0, 3)), (gradients, slice(3, None))):
        for (at, index, _), values in zip(found, _together([one for *_, one in found]), strict=True):
            ring.parameters[at, index, part] = values


def _numbers(values: list[float | Tensor]) -> np.ndarray:
    """Return numbers as an array, those on a device with one transfer."""
    tensors = [one.detach().double().reshape(()) for one in values if isinstance(one, Tensor)]
    if not tensors:
        return np.array(values, np.float64)
    brought = iter(_together(tensors))
    return np.array([float(next(brought)) if isinstance(one, Tensor) else one for one in values], np.float64)


def _together(tensors: list[Tensor]) -> list[np.ndarray]:
    """Bring small tensors of one shape to the processor, with one transfer a device."""
    brought: list[np.ndarray] = [np.empty(0)] * len(tensors)
    for device in {tensor.device for tensor in tensors}:
        at = [index for index, tensor in enumerate(tensors) if tensor.device == device]
        for index, values in zip(at, torch.stack([tensors[one].detach() for one in at]).cpu().numpy(), strict=True):
            brought[index] = values
    return brought


def _fired(slot: Slot, board: Board) -> np.ndarray:
    fired = np.zeros(slot.units, np.int64)
    measured = np.frombuffer(board.totals(slot.index))
    if len(measured):
        fired += measured.reshape(3, -1)[2].astype(np.int64)
    if slot.totals is not None:
        fired += slot.totals[2].cpu().numpy().astype(np.int64)
    return fired
