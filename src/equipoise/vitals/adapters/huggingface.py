"""`watch` as a callback of the Hugging Face `Trainer`; importing this module imports `transformers`."""

from typing import Any

from equipoise.core.extras import require
from equipoise.vitals.adapters.watching import Watching

_TRANSFORMERS = require("transformers", "transformers")


class WatchCallback(Watching, _TRANSFORMERS.TrainerCallback):
    """Watches a `Trainer` from its first step to its last: `Trainer(..., callbacks=[WatchCallback()])`.

    Evaluations in between are not measured. With gradient accumulation a step is one of the optimiser, and its loss the
    sum of what was differentiated. The trainer does not tell its callbacks when a training fails: call `close` then, or
    hold the callback in a `with` statement.

    Options and `vitals` are those of `Watching`.

    Raises:
        ModuleNotFoundError: On import of this module: the extra `transformers` is not installed.
    """

    # The trainer hands everything it has to every callback by name, so only what is needed is taken.

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """Begin to watch the trainer's model and optimiser."""
        optimizer = given.get("optimizer")
        inner = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps the optimiser that really steps
        self.begin(given["model"], inner)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """Stop watching."""
        self.close()
