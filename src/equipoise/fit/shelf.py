"""Two snapshots: one of a moment ago, and one of a good while before it."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from equipoise.fit.snapshots import Balanced, Snapshot

KEPT = 2
"""Snapshots in memory."""

EVERY = 64
"""At least so many steps lie between two snapshots."""

LAG = 512
"""Steps that the older of two snapshots lags behind before the newer one takes its place."""


@dataclass(slots=True, eq=False)
class Shelf:
    """Holds at most two snapshots, so that a training can go back even when the newer one already holds the trouble.

    Attributes:
        balanced: What is copied and put back.
        snapshots: Oldest first.
    """

    balanced: Balanced
    snapshots: list[Snapshot] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Memory that the snapshots take."""
        return sum(snapshot.bytes() for snapshot in self.snapshots)

    def wants(self, step: int) -> bool:
        """Return whether it is time for a snapshot."""
        return step - self.snapshots[-1].step >= EVERY

    def keep(self, step: int, notes: dict[str, Any], *, alive_at: int) -> None:
        """Take a snapshot, in the memory of the one that it replaces.

        Args:
            step: Steps taken.
            notes: What else to remember of this moment, plain values.
            alive_at: Step at which the outputs were last seen to differ between samples: only weights that showed so
                afterwards may become the older snapshot.
        """
        reused = None
        if len(self.snapshots) == KEPT:
            older, newer = self.snapshots
            gives_way = newer.step - older.step >= LAG and alive_at > newer.step
            reused = self.snapshots.pop(0 if gives_way else 1)
        self.snapshots.append(self.balanced.take(step, notes, reused))

    def before(self, onset: int) -> Snapshot:
        """Return the newest snapshot whose weights showed a good loss before step `onset`, else the oldest."""
        good = [snapshot for snapshot in self.snapshots if snapshot.step + 1 < onset]
        return good[-1] if good else self.snapshots[0]

    def put_back(self, snapshot: Snapshot) -> None:
        """Bring everything to where it was, and drop newer snapshots."""
        self.balanced.put_back(snapshot)
        self.snapshots = [one for one in self.snapshots if one.step <= snapshot.step]

    def state(self) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
        """Return tensors by name, and plain values."""
        tensors = {f"{k}.{name}": value for k, one in enumerate(self.snapshots) for name, value in one.tensors.items()}
        values = [{"step": one.step, "numbers": one.numbers, "notes": one.notes} for one in self.snapshots]
        return tensors, values

    def load(self, tensors: dict[str, Tensor], values: list[dict[str, Any]]) -> None:
        """Take over what `state` returned."""
        self.snapshots = [
            Snapshot(tensors={n.partition(".")[2]: v for n, v in tensors.items() if n.startswith(f"{k}.")}, **one)
            for k, one in enumerate(values)
        ]
