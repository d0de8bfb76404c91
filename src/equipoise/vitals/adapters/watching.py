"""What the callbacks of every framework share: the options of a watch, its begin and its end."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from torch import nn
from torch.optim import Optimizer

from equipoise.vitals.watch import Sink, Vitals, watch
from equipoise.vitals.window import Window


class Watching:
    """A watch that a framework's events begin and end; a context manager that ends it where the framework does not.

    Args:
        every: Sample one step out of this many.
        window: Sampled steps after which what was measured is read and handed on.
        folder: Where to write the history, at the end of each window; nowhere when None.
        sinks: Called with every window.
        on_window: Called with every window, after history, detectors and sinks.

    Attributes:
        vitals: What `equipoise.watch` returned; None before the training begins.
    """

    def __init__(
        self,
        *,
        every: int = 1,
        window: int = 64,
        folder: Path | str | None = None,
        sinks: Sequence[Sink] = (),
        on_window: Callable[[Window], None] | None = None,
    ) -> None:
        super().__init__()
        self.vitals: Vitals | None = None
        self._options: dict[str, Any] = {
            "every": every,
            "window": window,
            "folder": folder,
            "sinks": sinks,
            "on_window": on_window,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, network: nn.Module, optimizer: Optimizer | None) -> None:
        """Watch a training from here on; one that is watched already is ended first."""
        if self.vitals is not None:
            self.vitals.close()
        self.vitals = watch(network, optimizer, **self._options)
        self.vitals.open()

    def close(self) -> None:
        """Stop watching and remove every hook; what was recorded stays in `vitals`."""
        if self.vitals is not None:
            self.vitals.close()
