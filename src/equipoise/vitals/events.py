"""What happened during a training and is not a number, kept within bounds."""

from collections import Counter, deque

from equipoise.vitals.window import Event

KEPT = 1024
"""Most events that are remembered over a whole training."""


class Events:
    """Events of the current window and of the whole training.

    The same kind of event at the same place is kept at most `most` times a window.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: deque[Event] = deque(maxlen=KEPT)
        self._fresh: list[Event] = []
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, step: int, kind: str, where: str, text: str) -> None:
        """Add an event; see `Event` for the words."""
        self._counts[kind, where] += 1
        if self._counts[kind, where] <= self._most:
            event = Event(step=step, kind=kind, where=where, text=text)
            self._fresh.append(event)
            self._all.append(event)

    def taken(self) -> tuple[Event, ...]:
        """Return the events since this was last called, in the order of their steps."""
        fresh = tuple(sorted(self._fresh, key=lambda event: event.step))
        self._fresh.clear()
        self._counts.clear()
        return fresh

    def all(self) -> tuple[Event, ...]:
        """Return the latest events of the whole training, at most `KEPT`."""
        return tuple(self._all)
