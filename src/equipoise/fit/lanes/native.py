"""The extension module that takes training steps (`fit/native/`), where it was built."""

import importlib
from typing import Any, Protocol, cast


class Chain(Protocol):
    """A network laid out for training steps; addresses are those of tensors that somebody keeps alive."""

    def train(
        self,
        addresses: bytes,
        masks: tuple[int, ...],
        features: int,
        targets: int,
        order: int,
        sizes: int,
        shares: int,
        finishes: int,
        rates: int,
        losses: int,
        norms: int,
        batches: int,
        step: int,
        moved: int,
        averaged: int,
        every: int,
        only_gradients: bool,
        layer_signs: int,
        parameter_signs: int,
        units: int,
        /,
    ) -> None:
        """Take steps without the lock of the interpreter; see `Work` in `native/chain.h`.

        Args:
            addresses: Of each parameter the value, the moments and the average, as 64-bit numbers; 0 for none.
            masks: Of each dropout its masks, batch after batch.
            features: All samples.
            targets: Of all samples.
            order: Positions of the samples, batch after batch.
            sizes: Samples of each batch.
            shares: Share of each batch in its step.
            finishes: Whether the step follows each batch.
            rates: Of each step the learning rate.
            losses: Of each step a place to add to.
            norms: A place for each sampled gradient norm.
            batches: How many.
            step: Steps taken before.
            moved: Steps that the optimiser counted before.
            averaged: Weights averaged before.
            every: Steps between two samples of the gradient norm.
            only_gradients: Leave the gradients of one step where they are, and take none.
            layer_signs: Of each watched step and layer the numbers of `plain.SCALARS`; 0 to measure nothing.
            parameter_signs: Of each watched step and parameter the numbers of `PARAMETER_SUMS`.
            units: Of each watched layer a place for each unit, to be added to.
        """

    def watch(
        self,
        every: int,
        layers: tuple[tuple[bool, int, float, float], ...],
        parameters: tuple[tuple[int, int], ...],
        /,
    ) -> None:
        """Measure vital signs from now on.

        Args:
            every: Steps between two that are measured.
            layers: Of each layer whether it is measured, the mode, and the bounds of `vitals.kernel.BOUNDED`.
            parameters: Of each parameter where its value and its gradient of the step before can be kept.
        """

    def remember(self) -> None:
        """Remember the weights, before a step that is taken elsewhere."""

    def note(self, signs: int, measured: bool, /) -> None:
        """Measure weights and gradients after such a step.

        Args:
            signs: Where the numbers of `PARAMETER_SUMS` of each parameter go.
            measured: False only remembers the gradients.
        """


class Steps:
    """The extension module of this process.

    Attributes:
        name: `steps_avx2`, `steps_baseline`, or empty where there is none.
    """

    def __init__(self, wanted: str = "") -> None:
        self._wanted = wanted
        self._module: Any = None
        self.name = ""
        try:
            self._module = importlib.import_module("equipoise.fit._steps")
        except ImportError:
            return
        self.name = str(self._module.variant(wanted))

    def chain(
        self,
        largest_batch: int,
        layers: tuple[tuple[float, ...], ...],
        parameters: tuple[tuple[float, ...], ...],
        loss: tuple[float, ...],
        rules: tuple[float, ...],
    ) -> Chain:
        """Return a chain; the numbers are those of `Layer`, `Parameter`, `Loss` and `Rules` in `native/chain.h`."""
        return cast(Chain, self._module.Chain(self._wanted, largest_batch, layers, parameters, loss, rules))
