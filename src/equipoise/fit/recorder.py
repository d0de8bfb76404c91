"""Losses of training steps, gathered on the device and read many at a time."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from equipoise.vitals.history import History

SLOTS = 1024
"""Steps between two readings; a reading waits for the device, a step never does."""


@dataclass(slots=True, eq=False)
class Recorder:
    """Gathers losses, gradient norms and learning rates until they are read into the history.

    Attributes:
        history: Where they go.
        losses: One place a step, on the device.
        step: Steps taken so far, over the whole training.
        total, count: Sum and number of the losses read since `restart`.
    """

    history: History
    losses: Tensor
    step: int = 0
    total: float = 0.0
    count: int = 0
    _slots: tuple[Tensor, ...] = ()
    _used: int = 0
    _norms: list[Tensor] = field(default_factory=list)
    _sampled: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._slots = self.losses.unbind(0)

    def add(self, loss: Tensor) -> None:
        """Add a batch's share to the loss of the present step."""
        self._slots[self._used].add_(loss.detach())

    def sample(self, norm: Tensor, rate: float) -> None:
        """Note the gradient norm and learning rate of the present step."""
        self._norms.append(norm)
        self._sampled.append((self.step + 1, rate))

    def next_step(self) -> None:
        """Close the present step."""
        self.step += 1
        self._used += 1
        if self._used == SLOTS:
            self.read()

    def latest(self) -> float:
        """Return the loss of the last closed step; waits for the device."""
        return float(self._slots[self._used - 1]) if self._used else self.mean()

    def mean(self) -> float:
        """Return the mean loss of the steps read since `restart`; NaN when there are none."""
        return self.total / self.count if self.count else float("nan")

    def restart(self) -> None:
        """Begin a new mean."""
        self.total, self.count = 0.0, 0

    def read(self) -> None:
        """Bring everything gathered into the history."""
        if self._used:
            losses = self.losses[: self._used].cpu().numpy().astype(np.float64)
            self.history.record_steps(np.arange(self.step - self._used + 1, self.step + 1), losses)
            self.total += float(losses.sum())
            self.count += self._used
            self.losses.zero_()
            self._used = 0
        if self._norms:
            norms = torch.stack(self._norms).cpu().numpy().astype(np.float64)
            steps, rates = zip(*self._sampled, strict=True)
            self.history.record_sampled(np.array(steps), norms, np.array(rates))
            self._norms.clear()
            self._sampled.clear()
