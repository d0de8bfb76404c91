"""`watch` as a callback of PyTorch Lightning; importing this module imports Lightning.

Both `pytorch_lightning` and `lightning.pytorch` call their callbacks by the names of their methods, so that this one
serves a trainer of either.
"""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from equipoise.core.extras import require
from equipoise.vitals.watch import Sink, Vitals, watch
from equipoise.vitals.window import Window

_INSTALLED = [name for name in ("pytorch_lightning", "lightning") if importlib.util.find_spec(name) is not None]
_LIGHTNING = require("lightning.pytorch" if _INSTALLED == ["lightning"] else "pytorch_lightning", "lightning")


class WatchCallback(_LIGHTNING.Callback):
    """Watches a Lightning training from its first step to its last: `Trainer(callbacks=[WatchCallback()])`.

    Paths of layers are those in the `LightningModule`. With one optimiser its steps are the steps; with several, those
    of the first that steps. Sanity checks and validation are not measured.

    Args:
        every: Sample one step out of this many.
        window: Sampled steps after which what was measured is read and handed on.
        folder: Where to write the history, at the end of each window; nowhere when None.
        sinks: Called with every window.
        on_window: Called with every window, after history, detectors and sinks.

    Attributes:
        vitals: What `equipoise.watch` returned; None before the training begins.

    Raises:
        ModuleNotFoundError: On import of this module: the extra `lightning` is not installed.
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

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch."""
        self.close()
        optimizers = trainer.optimizers
        self.vitals = watch(pl_module, optimizers[0] if len(optimizers) == 1 else None, **self._options)
        self.vitals.open()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Stop watching."""
        self.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Stop watching a training that failed or was interrupted."""
        self.close()

    def close(self) -> None:
        """Stop watching and remove every hook; what was recorded stays in `vitals`."""
        if self.vitals is not None:
            self.vitals.close()
