"""How long work says how far it is, without knowing who listens."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """One message: `done` of `total` units of `phase`, with a short `note`; `total` 0 when unknown.

    `finished` marks the last message of a phase, whose note is kept on the screen.
    """

    phase: str
    done: int
    total: int
    note: str = ""
    finished: bool = False


class Listener(Protocol):
    """Whoever shows progress; called often, so it must return quickly."""

    def __call__(self, progress: Progress) -> None:
        """Show one message."""


def silent(progress: Progress) -> None:
    """Ignore a message."""
