"""`watch` as a callback of the Hugging Face `Trainer`; importing this module imports `transformers`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from equipoise.core.extras import require
from equipoise.vitals.watch import Sink, Vitals, watch
from equipoise.vitals.window import Window

_TRANSFORMERS = require("transformers", "transformers")


class WatchCallback(_TRANSFORMERS.TrainerCallback):
    """Watches a `Trainer` from its first step to its last: `Trainer(..., callbacks=[WatchCallback()])`.

    Evaluations in between are not measured. With gradient accumulation a step is one of the optimiser, and its loss the
    sum of what was differentiated. The trainer does not tell its callbacks when a training fails: call `close` then, or
    hold the callback in a `with` statement.

    Args:
        every: Sample one step out of this many.
        window: Sampled steps after which what was measured is read and handed on.
        folder: Where to write the history, at the end of each window; nowhere when None.
        sinks: Called with every window.
        on_window: Called with every window, after history, detectors and sinks.

    Attributes:
        vitals: What `equipoise.watch` returned; None before the training begins.

    Raises:
        ModuleNotFoundError: On import of this module: the extra `transformers` is not installed.
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

    def __enter__(self) -> "WatchCallback":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The trainer hands everything it has to every callback by name, so only what is needed is taken.

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """Begin to watch the trainer's model and optimiser."""
        self.close()
        optimizer = given.get("optimizer")
        inner = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps the optimiser that really steps
        self.vitals = watch(given["model"], inner, **self._options)
        self.vitals.open()

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ARG002
        """Stop watching."""
        self.close()

    def close(self) -> None:
        """Stop watching and remove every hook; what was recorded stays in `vitals`."""
        if self.vitals is not None:
            self.vitals.close()
