"""`watch` as a callback of PyTorch Lightning; importing this module imports Lightning.

Both `pytorch_lightning` and `lightning.pytorch` call their callbacks by the names of their methods, so that this one
serves a trainer of either.
"""

import importlib.util
from typing import Any

from equipoise.core.extras import require
from equipoise.vitals.adapters.watching import Watching

_INSTALLED = [name for name in ("pytorch_lightning", "lightning") if importlib.util.find_spec(name) is not None]
_LIGHTNING = require("lightning.pytorch" if _INSTALLED == ["lightning"] else "pytorch_lightning", "lightning")


class WatchCallback(Watching, _LIGHTNING.Callback):
    """Watches a Lightning training from its first step to its last: `Trainer(callbacks=[WatchCallback()])`.

    Paths of layers are those in the `LightningModule`. With one optimiser its steps are the steps; with several, those
    of the first that steps. Sanity checks and validation are not measured.

    Options and `vitals` are those of `Watching`.

    Raises:
        ModuleNotFoundError: On import of this module: the extra `lightning` is not installed.
    """

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to watch."""
        optimizers = trainer.optimizers
        self.begin(pl_module, optimizers[0] if len(optimizers) == 1 else None)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """Stop watching."""
        self.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        """Stop watching a training that failed or was interrupted."""
        self.close()
