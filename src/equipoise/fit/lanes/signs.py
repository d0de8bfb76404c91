"""Vital signs of a chain: measured by its kernel while it trains, read as the windows that a watch would read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from equipoise.fit.lanes.layout import DROPOUT, Layer
from equipoise.fit.lanes.native import Chain
from equipoise.vitals import plain
from equipoise.vitals.activations import of_module
from equipoise.vitals.kernel import BOUNDED, PLAIN
from equipoise.vitals.parameters import PARAMETER_SUMS
from equipoise.vitals.reading import activation_numbers, gradient_numbers, weight_numbers
from equipoise.vitals.rows import Slot
from equipoise.vitals.window import Layer as Place
from equipoise.vitals.window import Weights, Window


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What the kernel writes during one call.

    Attributes:
        steps: The sampled steps, from 1.
        layers: (S, L, 8) numbers of `plain.SCALARS`.
        parameters: (S, P, 9) numbers of `PARAMETER_SUMS`.
        units: How often each unit of each layer was active, one layer after another.
    """

    steps: np.ndarray
    layers: np.ndarray
    parameters: np.ndarray
    units: np.ndarray

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Where the kernel writes."""
        return self.layers.ctypes.data, self.parameters.ctypes.data, self.units.ctypes.data


class Signs:
    """Measures layers and parameters of a chain at every so manieth step.

    Args:
        chain: The chain.
        layers: Its layers.
        parameters: Its parameters.
        every: Steps between two that are sampled; the first step is.
    """

    def __init__(
        self, chain: Chain, layers: Sequence[Layer], parameters: Sequence[torch.nn.Parameter], every: int
    ) -> None:
        self.every = every
        places = [layer for layer in layers if layer.kind != DROPOUT]
        self._slots = [
            Slot(
                index, f"body.{layer.name}".rstrip("."), type(layer.module).__name__, of_module(layer.module), None, ""
            )
            for index, layer in enumerate(places)
        ]
        self._widths = [layer.outputs for layer in places]
        names = {
            id(one): ".".join(part for part in ("body", layer.name, name) if part)
            for layer in layers
            for name, one in layer.module.named_parameters()
        }
        self._weights = tuple(
            Weights(names[id(one)], names[id(one)].rpartition(".")[0], one.numel(), one.numel(), one.requires_grad)
            for one in parameters
        )
        self._held: list[tuple[Tensor, Tensor]] = [(torch.zeros_like(one), torch.zeros_like(one)) for one in parameters]
        chain.watch(
            every,
            tuple(_asked(layer) for layer in layers),
            tuple((weight.data_ptr(), gradient.data_ptr()) for weight, gradient in self._held),
        )

    def rows(self, step: int, count: int) -> Rows:
        """Return the rows of the steps after `step`."""
        steps = np.arange(step + 1 + -step % self.every, step + count + 1, self.every)
        return Rows(
            steps=steps,
            layers=np.zeros((len(steps), len(self._slots), len(plain.SCALARS))),
            parameters=np.full((max(1, len(steps)), len(self._weights), len(PARAMETER_SUMS)), np.nan),
            units=np.zeros(sum(self._widths)),
        )

    def window(self, rows: Rows, losses: np.ndarray, rates: np.ndarray) -> Window:
        """Return what was measured; losses and learning rates are those of the sampled steps."""
        parameters = rows.parameters[: len(rows.steps)]
        return Window(
            steps=rows.steps,
            loss=losses,
            learning_rate=rates,
            layers=tuple(
                Place(slot.name, slot.kind, slot.activation.name, width)
                for slot, width in zip(self._slots, self._widths, strict=True)
            ),
            activation=activation_numbers(rows.layers, self._slots),
            fired=tuple(np.split(rows.units.astype(np.int64), np.cumsum(self._widths)[:-1])),
            seen=rows.layers[..., plain.ROWS].sum(0).astype(np.int64),
            weights=self._weights,
            gradient=gradient_numbers(parameters, self._weights),
            weight=weight_numbers(parameters, self._weights),
        )


def _asked(layer: Layer) -> tuple[bool, int, float, float]:
    """Return whether a layer is measured, and what counts as active."""
    bounds = of_module(layer.module).bounds
    return layer.kind != DROPOUT, BOUNDED if bounds else PLAIN, *(bounds or (0.0, 0.0))
