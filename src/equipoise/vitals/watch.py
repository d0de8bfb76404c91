"""Watches any training loop: the vital signs of every layer and parameter, step by step."""

import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor, nn
from torch.optim import Optimizer

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate
from equipoise.vitals.curvature import sharpness
from equipoise.vitals.detectors.detector import Detector
from equipoise.vitals.history import History
from equipoise.vitals.kernel import Kernel
from equipoise.vitals.noise import noise_scale, noise_scale_of_adam
from equipoise.vitals.ranks import Rank, ranks
from equipoise.vitals.recorder import Recorder
from equipoise.vitals.window import Event, Window

Sink = Callable[[Window], None]

_AT_ONCE, _AT_ONCE_VALUES = 8, 200_000
"""Windows that are read at once where no sink waits for them: so many, but never more than so many numbers (1.6 MB)."""

_WRITE_EVERY_S = 5.0
"""Shortest time between two writings of the history; at the end it is written once more."""


def watch(
    network: nn.Module,
    optimizer: Optimizer | None = None,
    *,
    every: int = 1,
    window: int = 64,
    folder: Path | str | None = None,
    sinks: Sequence[Sink] = (),
    on_window: Callable[[Window], None] | None = None,
    closure: Callable[[], Tensor] | None = None,
) -> "Vitals":
    """Watch a training loop, without changing a line in it nor a bit of its result.

    The network is heard through forward hooks in sampled steps, optimisers through hooks on their step, the loss at the
    root of `backward`. On the way out all of that is removed again. Evaluation in between may differ by
    rounding: `nn.TransformerEncoder` leaves its fused way in evaluation where any module has a hook.

    Example::

        with equipoise.watch(network, optimizer) as vitals:
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss(network(inputs), targets).backward()
                optimizer.step()
        print(vitals.symptoms())

    Args:
        network: The network in training.
        optimizer: Its optimiser. Without one, the first optimiser that steps its parameters is taken; where there is
            none at all, every backward pass counts as a step.
        every: Sample one step out of this many.
        window: Sampled steps after which what was measured is read, handed on, and forgotten. Where neither sinks nor
            `on_window` wait for it, up to eight windows are read at once, fewer where the network is large, unless
            `read` or `symptoms` ask for them earlier.
        folder: Where to write the history as `vitals.parquet`, at the end of a window every few seconds and at the end
            of the watch; nowhere when None.
        sinks: Called with every window. One that raises is dropped, with an event; the training goes on.
        on_window: Called with every window, after history, detectors and sinks; its exceptions are the caller's.
        closure: Returns the loss of a batch with its graph, for `sharpness` (a fixed batch), `noise_scale` (a fresh
            one at every call) and `ranks`, which are only computed when asked for.

    While the context is open `torch.autograd.backward`, `torch.jit.script` and `torch.jit.trace` are replaced by
    functions that call them; a reference to one of them that was taken before (`from torch.autograd import backward`)
    goes past that, and then the losses have to come from `Vitals.record`, and gradients are what the optimiser finds.
    A watch that is neither closed nor held by anybody ends by itself.

    Raises:
        ValueError: `network` is no module, `optimizer` no optimiser of torch, `every` or `window` below 1.
    """
    _check(network, optimizer, every, window)
    return Vitals(network, optimizer, every, window, folder, sinks, on_window, closure)


class Vitals:
    """A watched training: a context manager, or `open` and `close`.

    Attributes:
        history: Every quantity over the whole training, in bounded memory.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer | None,
        every: int,
        window: int,
        folder: Path | str | None,
        sinks: Sequence[Sink],
        on_window: Callable[[Window], None] | None,
        closure: Callable[[], Tensor] | None,
    ) -> None:
        self.history = History()
        rows = window if sinks or on_window else window * _at_once(network, window)
        self._recorder = Recorder(network, optimizer, every, rows, _weakly(self._full), Kernel())
        self._folder = None if folder is None else Path(folder)
        self._sinks = list(sinks)
        self._on_window = on_window
        self._closure = closure
        self._detectors = _detectors()
        self._symptoms: list[Symptom] = []
        self._open = False
        self._end: weakref.finalize[[], Self] | None = None
        self._written = 0.0

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.close()

    @property
    def events(self) -> tuple[Event, ...]:
        """The latest things that happened and are not numbers."""
        return self._recorder.events.all()

    def open(self) -> None:
        """Begin to watch; what `with` does."""
        if not self._open:
            self._open = True
            self._recorder.open()
            self._end = weakref.finalize(self, self._recorder.close)

    def close(self) -> None:
        """Stop watching, remove every hook, and read what is left; what the end of `with` does."""
        if self._open:
            self._open = False
            if self._end is not None:
                self._end()
            self.read()
            self._write()

    def record(self, loss: float | Tensor) -> None:
        """Take a loss that no backward pass shows, or another one than it shows, for the step being made."""
        self._recorder.record(loss)

    def read(self) -> Window:
        """Return everything since the last reading, and hand it to history, detectors, sinks and `on_window`."""
        window = self._recorder.taken()
        if len(window.steps) or window.events:
            self._hand_on(window)
        return window

    def symptoms(self) -> tuple[Symptom, ...]:
        """Return what the streaming detectors have seen so far, the steps up to now included."""
        if self._open:
            self.read()
        return tuple(self._symptoms)

    def noise_scale(self) -> Estimate:
        """Return the gradient noise scale, in batches (McCandlish et al. 2018); times the batch size, in samples.

        From the moments of Adam where the optimiser keeps them, otherwise from gradients of the closure, which then has
        to draw a fresh batch at every call.

        Raises:
            ValueError: There are neither moments nor a closure.
        """
        moments = None if self._recorder.stepper is None else noise_scale_of_adam(self._recorder.stepper)
        if moments is not None:
            return moments
        with self._recorder.deaf():
            return noise_scale(self._recorder.network, self._given_closure("the noise scale"))

    def sharpness(self) -> Estimate:
        """Return the largest eigenvalue of the Hessian of the closure's loss; see `curvature.sharpness`.

        Raises:
            ValueError: There is no closure.
        """
        with self._recorder.deaf():
            return sharpness(self._recorder.network, self._given_closure("sharpness"))

    def ranks(self, inputs: Tensor | None = None) -> dict[str, Rank]:
        """Return effective and stable rank of what each layer puts out, for some inputs or the closure's batch.

        Raises:
            ValueError: There are neither inputs nor a closure.
        """
        network = self._recorder.network
        with self._recorder.deaf():
            if inputs is not None:
                return ranks(network, lambda: network(inputs))
            return ranks(network, self._given_closure("ranks"))

    def _given_closure(self, what: str) -> Callable[[], Tensor]:
        if self._closure is None:
            raise ValueError(
                f"got no closure; expected one, since {what} needs the loss at other points than the loop visits. Give "
                "watch(..., closure=...), a function without arguments that returns the loss with its graph."
            )
        return self._closure

    def _full(self) -> None:
        self.read()

    def _hand_on(self, window: Window) -> None:
        self.history.record_window(window)
        for detector in tuple(self._detectors):
            try:
                self._symptoms.extend(detector.observe(window))
            except Exception as problem:  # a detector is no reason to stop a training
                self._detectors.remove(detector)
                self._recorder.failed(f"detector {detector.name}", problem)
        for sink in tuple(self._sinks):
            try:
                sink(window)
            except Exception as problem:  # nor is a sink
                self._sinks.remove(sink)
                self._sink_failed(sink, problem)
        if time.monotonic() - self._written > _WRITE_EVERY_S:
            self._write()
        if self._on_window is not None:
            self._on_window(window)

    def _write(self) -> None:
        self._written = time.monotonic()
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self.history.write(self._folder / "vitals.parquet")
            except OSError as problem:
                self._sink_failed(f"the folder {self._folder}", problem)
                self._folder = None

    def _sink_failed(self, sink: object, problem: Exception) -> None:
        name = getattr(sink, "__name__", None) or (sink if isinstance(sink, str) else type(sink).__name__)
        text = f"{name} failed and was dropped: {type(problem).__name__}: {problem}"
        self._recorder.events.add(self._recorder.step, "sink_failed", "sinks", text)


def _check(network: nn.Module, optimizer: Optimizer | None, every: int, window: int) -> None:
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"got a network of type {type(network).__name__}; expected a torch.nn.Module. Give the module in training."
        )
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise ValueError(
            f"got an optimizer of type {type(optimizer).__name__}; expected a torch.optim.Optimizer or None. Give the "
            "optimiser inside of it, or none, to take the one that steps the network's parameters."
        )
    if every < 1 or window < 1:
        raise ValueError(
            f"got every={every} and window={window}; expected at least 1 for both. Give every=1 to sample each step."
        )


def _at_once(network: nn.Module, window: int) -> int:
    """Return how many windows of a network may be held until they are read together."""
    parameters = list(network.parameters())
    if any(one.device.type != "cpu" for one in parameters):
        return 4  # what is measured on a device takes more memory until it is read
    a_row = 8 * sum(1 for _ in network.modules()) + 9 * len(parameters)
    return max(1, min(_AT_ONCE, _AT_ONCE_VALUES // (a_row * window)))


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls a method as long as its object lives, and does not keep that alive."""
    known = weakref.WeakMethod(method)

    def call() -> None:
        found = known()
        if found is not None:
            found()

    return call


def _detectors() -> list[Detector]:
    from equipoise.vitals.detectors.all import all_detectors  # here, since detectors are for those who watch

    return list(all_detectors())
