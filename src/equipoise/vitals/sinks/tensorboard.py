"""Windows of vital signs as TensorBoard scalars."""

from pathlib import Path

from equipoise.core.extras import require
from equipoise.vitals.sinks.readings import readings
from equipoise.vitals.window import Window


class TensorBoardSink:
    """Writes an event file that TensorBoard reads while it grows.

    Hand it to `equipoise.watch(network, sinks=[TensorBoardSink("runs/vitals")])`. Events of a window (non-finite
    values, skipped steps, ...) become text.

    Args:
        folder: Where the event file goes; made if need be.

    Raises:
        ModuleNotFoundError: The extra `tensorboard` is not installed.
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: str | Path) -> None:
        tensorboard = require("torch.utils.tensorboard", "tensorboard")
        self._writer = tensorboard.SummaryWriter(str(folder))

    def __call__(self, window: Window) -> None:
        """Write a window's numbers and events, through to the disk."""
        for one in readings(window):
            self._writer.add_scalar(one.name, one.value, one.step)
        for event in window.events:
            self._writer.add_text(f"events/{event.kind}", f"{event.where}: {event.text}", event.step)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file; nothing can be written afterwards."""
        self._writer.close()
