"""`watch` as a callback of Keras 3 on the torch backend; importing this module imports Keras."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from equipoise.networks.keras_models import keras_module
from equipoise.vitals.adapters.keras_view import KerasStep, KerasView
from equipoise.vitals.watch import Sink, Vitals, watch
from equipoise.vitals.window import Window

_KERAS: Any = keras_module()


class WatchCallback(_KERAS.callbacks.Callback):
    """Watches `model.fit` from its first step to its last: `model.fit(..., callbacks=[WatchCallback()])`.

    Every layer is measured in the steps of the training, not in validation and not in the dry run with which Keras
    builds a model. Keras does not tell its callbacks when a training fails: call `close` then, or hold the callback in
    a `with` statement.

    Args:
        every: Sample one step out of this many.
        window: Sampled steps after which what was measured is read and handed on.
        folder: Where to write the history, at the end of each window; nowhere when None.
        sinks: Called with every window.
        on_window: Called with every window, after history, detectors and sinks.

    Attributes:
        vitals: What `equipoise.watch` returned; None before the training begins.

    Raises:
        ModuleNotFoundError: On import of this module: the extra `keras` is not installed.
        RuntimeError: On import of this module: Keras runs on another backend.
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
        self._step: KerasStep | None = None
        self._options: dict[str, Any] = {
            "every": every,
            "window": window,
            "folder": folder,
            "sinks": sinks,
            "on_window": on_window,
        }

    def __enter__(self) -> "WatchCallback":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Begin to watch the model and its optimiser."""
        self.close()
        view = KerasView(self.model)
        moved = [one for _, one in view.named_parameters() if one.requires_grad]
        if self.model.optimizer is not None and moved:
            self._step = KerasStep(self.model.optimizer, moved)
            self._step.attach()
        self.vitals = watch(view, self._step, **self._options)
        self.vitals.open()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Stop watching."""
        self.close()

    def close(self) -> None:
        """Stop watching, remove every hook, and give the optimiser back; what was recorded stays in `vitals`."""
        if self.vitals is not None:
            self.vitals.close()
        if self._step is not None:
            self._step.detach()
            self._step = None
