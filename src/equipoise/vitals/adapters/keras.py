"""`watch` as a callback of Keras 3 on the torch backend; importing this module imports Keras."""

from typing import Any

from equipoise.networks.keras_models import keras_module
from equipoise.vitals.adapters.keras_view import KerasStep, KerasView
from equipoise.vitals.adapters.watching import Watching

_KERAS: Any = keras_module()


class WatchCallback(Watching, _KERAS.callbacks.Callback):
    """Watches `model.fit` from its first step to its last: `model.fit(..., callbacks=[WatchCallback()])`.

    Every layer is measured in the steps of the training, not in validation and not in the dry run with which Keras
    builds a model. Keras does not tell its callbacks when a training fails: call `close` then, or hold the callback in
    a `with` statement.

    Options and `vitals` are those of `Watching`.

    Raises:
        ModuleNotFoundError: On import of this module: the extra `keras` is not installed.
        RuntimeError: On import of this module: Keras runs on another backend.
    """

    _step: KerasStep | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Begin to watch the model and its optimiser."""
        self.close()
        view = KerasView(self.model)
        moved = [one for _, one in view.named_parameters() if one.requires_grad]
        if self.model.optimizer is not None and moved:
            self._step = KerasStep(self.model.optimizer, moved)
            self._step.attach()
        self.begin(view, self._step)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Stop watching."""
        self.close()

    def close(self) -> None:
        """Stop watching, remove every hook, and give the optimiser back; what was recorded stays in `vitals`."""
        super().close()
        if self._step is not None:
            self._step.detach()
            self._step = None
