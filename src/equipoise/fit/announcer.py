"""What a training says about itself while it runs."""

import math
import time
from dataclasses import dataclass

from equipoise.core.progress import Listener, Progress
from equipoise.core.stop import StopReason
from equipoise.fit.state import State

EVERY_S = 0.1
"""At least so long between two messages."""


@dataclass(slots=True, eq=False)
class Announcer:
    """Says epoch, loss, validation score and the time left.

    Attributes:
        on_progress: Who hears it.
        score_name: The validation score in the field's words.
        epochs: Planned epochs.
        total_steps: Planned steps.
    """

    on_progress: Listener
    score_name: str
    epochs: int
    total_steps: int
    _first: int = 0
    _start: float = 0.0
    _loss: float = math.nan
    _score: float = math.nan

    def begin(self, state: State) -> None:
        """Take note of where this session begins."""
        self._first, self._start = state.recorder.step, time.perf_counter()

    def validated(self, loss: float, score: float) -> None:
        """Take note of a validation."""
        self._loss, self._score = loss, score

    def say(self, state: State, loss: float) -> None:
        """Say where the training is; `loss` is the present training loss."""
        self.on_progress(Progress("fit", state.epoch, self.epochs, self._note(loss, self._left(state))))

    def end(self, state: State, reason: StopReason) -> None:
        """Say why the training ended."""
        said = f"{reason.value.replace('-', ' ')} after {state.epoch} of {self.epochs} epochs and {state.seconds:.1f} s"
        if state.kept.epoch:
            said += f"; kept epoch {state.kept.epoch}, validation {self.score_name} {state.kept.score:.4g}"
        self.on_progress(Progress("fit", state.epoch, self.epochs, said, finished=True))

    def _note(self, loss: float, left_s: float) -> str:
        parts = [f"loss {loss:.4g}"]
        if not math.isnan(self._score):
            parts += [f"validation loss {self._loss:.4g}", f"validation {self.score_name} {self._score:.4g}"]
        if math.isfinite(left_s):
            parts.append(f"about {_duration(left_s)} left")
        return ", ".join(parts)

    def _left(self, state: State) -> float:
        done = state.recorder.step - self._first
        left = self.total_steps - state.recorder.step
        return (time.perf_counter() - self._start) / done * left if done > 0 else math.inf


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
