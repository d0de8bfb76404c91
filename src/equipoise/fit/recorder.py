"""Losses of training steps, gathered on the device and read many at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from equipoise.fit.together import Alone, Together, whole
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
        forgiving: Whether losses that are not finite are left out of the mean, because their steps were taken back.
        listened: Whether somebody asks for `news`, so that it must outlast a reading.
        together: Where several processes train one network: each gathers its share of a loss, and a reading adds up.
    """

    history: History
    losses: Tensor
    step: int = 0
    total: float = 0.0
    count: int = 0
    forgiving: bool = False
    listened: bool = False
    together: Together = field(default_factory=Alone)
    _slots: tuple[Tensor, ...] = ()
    _used: int = 0
    _norms: list[Tensor] = field(default_factory=list)
    _sampled: list[tuple[int, float]] = field(default_factory=list)
    _heard: int = 0
    _norms_heard: int = 0
    _unheard: list[float] = field(default_factory=list)
    _unheard_norms: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._slots = self.losses.unbind(0)

    def add(self, loss: Tensor) -> None:
        """Add a batch's share to the loss of the present step."""
        self._slots[self._used].add_(loss.detach())

    def sample(self, norm: Tensor, rate: float) -> None:
        """Note the gradient norm and learning rate of the present step."""
        self._norms.append(whole(norm))
        self._sampled.append((self.step + 1, rate))

    @property
    def room(self) -> int:
        """Steps that still fit before a reading."""
        return SLOTS - self._used

    @property
    def places(self) -> Tensor:
        """The places of the present step and of those after it: zero, to be added to."""
        return self.losses[self._used :]

    def close_steps(self, count: int, norms: Tensor, rates: Sequence[float], every: int) -> None:
        """Close steps whose losses are in `places`.

        Args:
            count: How many; at most `room`.
            norms: Gradient norms of those that were sampled.
            rates: Learning rate of every step.
            every: Steps between two that are sampled.
        """
        self._norms.extend(norms.unbind(0))
        self._sampled.extend((self.step + k + 1, rates[k]) for k in range(-self.step % every, count, every))
        self.step += count
        self._used += count
        if self._used == SLOTS:
            self.read()

    def next_step(self) -> None:
        """Close the present step."""
        self.step += 1
        self._used += 1
        if self._used == SLOTS:
            self.read()

    def latest(self) -> float:
        """Return the loss of the last closed step; waits for the device."""
        return float(self.together.mean(self._slots[self._used - 1])) if self._used else self.mean()

    def mean(self) -> float:
        """Return the mean loss of the steps read since `restart`; NaN when there are none."""
        return self.total / self.count if self.count else float("nan")

    def restart(self) -> None:
        """Begin a new mean."""
        self.total, self.count = 0.0, 0

    def news(self) -> tuple[list[float], list[tuple[int, float]]]:
        """Return losses, and (step, gradient norm), gathered since the last call; waits for the device."""
        self._set_aside()
        losses, norms = list(self._unheard), list(self._unheard_norms)
        self._unheard.clear()
        self._unheard_norms.clear()
        return losses, norms

    def _set_aside(self) -> None:
        if self._heard < self._used:
            self._unheard.extend(self.together.mean(self.losses[self._heard : self._used]).tolist())
            self._heard = self._used
        if self._norms_heard < len(self._norms):
            norms = torch.stack(self._norms[self._norms_heard :]).tolist()
            steps = (step for step, _ in self._sampled[self._norms_heard :])
            self._unheard_norms.extend(zip(steps, norms, strict=True))
            self._norms_heard = len(self._norms)

    def read(self) -> None:
        """Bring everything gathered into the history."""
        if self.listened:
            self._set_aside()
        self._heard = self._norms_heard = 0
        if self._used:
            losses = self.together.mean(self.losses[: self._used]).cpu().numpy().astype(np.float64)
            self.history.record_steps(np.arange(self.step - self._used + 1, self.step + 1), losses)
            counted = losses[np.isfinite(losses)] if self.forgiving else losses
            self.total += float(counted.sum())
            self.count += len(counted)
            self.losses.zero_()
            self._used = 0
        if self._norms:
            norms = torch.stack(self._norms).cpu().numpy().astype(np.float64)
            steps, rates = zip(*self._sampled, strict=True)
            self.history.record_sampled(np.array(steps), norms, np.array(rates))
            self._norms.clear()
            self._sampled.clear()
