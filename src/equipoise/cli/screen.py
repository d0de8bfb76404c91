"""Shows progress: one living line a phase on a terminal, at most a line in ten seconds elsewhere."""

import shutil
import sys
import time
from typing import TextIO

from equipoise.core.progress import Progress

QUIET_SECONDS = 10.0


class Screen:
    """A listener that writes to a stream, and prints each finished phase once as a line of the summary."""

    def __init__(self, out: TextIO | None = None, living: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._living = living or sys.stderr
        self._terminal = self._living.isatty()
        self._phase = ""
        self._started = time.monotonic()
        self._shown = 0.0

    def __call__(self, progress: Progress) -> None:
        """Show one message."""
        now = time.monotonic()
        if progress.phase != self._phase:
            self._phase, self._shown = progress.phase, now
        if progress.finished:
            self._clear()
            took = f"{now - self._started:.1f} s"
            width = min(shutil.get_terminal_size((110, 24)).columns, 120)
            text = f"  {progress.phase:<9} {progress.note}"
            print(f"{text:<{width - 10}} {took:>8}", file=self._out, flush=True)
            self._phase, self._started = "", now
        else:
            self._show(progress, now)

    def _show(self, progress: Progress, now: float) -> None:
        share = progress.done / progress.total if progress.total else 0.0
        elapsed = now - self._started
        said = "left" in progress.note or elapsed < 1 or not 0.02 < share < 1
        left = "" if said else f" · {elapsed / share - elapsed:.0f} s left"
        of = f"{progress.done:,}/{progress.total:,} · " if progress.total else ""
        text = f"  {progress.phase:<9} {of}{progress.note}{left}"
        if self._terminal:
            width = shutil.get_terminal_size((110, 24)).columns
            self._living.write("\r\x1b[2K" + text[: width - 1])
            self._living.flush()
        elif now - self._shown > QUIET_SECONDS:
            self._shown = now
            print(text, file=self._living, flush=True)

    def _clear(self) -> None:
        if self._terminal:
            self._living.write("\r\x1b[2K")
            self._living.flush()
