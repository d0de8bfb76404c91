"""When checkpoints and the history are written, and what happens when they cannot be."""

import time
from pathlib import Path
from typing import Any, Protocol

from equipoise.core.progress import Listener, Progress
from equipoise.fit.checkpoint import Checkpoint
from equipoise.fit.state import State
from equipoise.fit.together import Together

SHORTEST_S = 0.5
"""At least so long between two checkpoints at the ends of rounds."""

WITHIN_S = 60.0
"""So long after the last checkpoint one is written in the middle of a round."""

COST_SHARE = 0.1
"""Checkpoints take at most about this share of the time."""


class Written(Protocol):
    """Where checkpoints go."""

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and make it the newest."""


class Keeper:
    """Writes checkpoints and `history.parquet` into the folder of a run.

    A full disk does not end a training: it is said once, what was written before stays in force, and the next
    checkpoint is tried in its turn.

    Args:
        checkpoints: Where checkpoints go.
        history: The Parquet file of the history.
        described: What training this is; kept in every checkpoint.
        on_progress: Hears of a checkpoint that could not be written.
        together: Decides when, alike in all processes that train the network.
    """

    def __init__(
        self,
        checkpoints: Written,
        history: Path,
        described: dict[str, Any],
        on_progress: Listener,
        together: Together,
    ) -> None:
        self._checkpoints = checkpoints
        self._history = history
        self._described = described
        self._on_progress = on_progress
        self._together = together
        self._written = time.perf_counter()
        self._cost = 0.0
        self._said = False

    def end_of_round(self, state: State) -> None:
        """Write unless it was done a moment ago."""
        self._write_after(SHORTEST_S, state)

    def in_round(self, state: State) -> None:
        """Write when the last checkpoint is old; called between two steps."""
        self._write_after(WITHIN_S, state)

    def _write_after(self, seconds: float, state: State) -> None:
        is_due = time.perf_counter() - self._written >= max(seconds, self._cost / COST_SHARE)
        if self._together.agree(is_due):
            self.write(state)

    def write(self, state: State) -> None:
        """Write checkpoint and history now."""
        start = time.perf_counter()
        try:
            self._checkpoints.write(state.checkpoint(self._described))
            if self._together.first:
                state.recorder.history.write(self._history)
        except OSError as problem:
            if not self._said:
                self._said = True
                note = (
                    f"a checkpoint could not be written ({problem}); training goes on, what was written before stays. "
                    "Free some space to have checkpoints again."
                )
                self._on_progress(Progress("checkpoint", 0, 0, note, finished=True))
        self._written = time.perf_counter()
        self._cost = self._written - start
