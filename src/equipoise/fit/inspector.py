"""Looks at the units of a network now and then, and says when it has collapsed."""

import math
from dataclasses import asdict
from typing import Any

from torch import nn

from equipoise.fit.activity import Look, Looker
from equipoise.fit.together import Together

APART = 512
"""Steps within which the units of a healthy network are looked at."""

STALE = 64
"""A loss without improvement for so many steps asks for a look."""

BETWEEN = 16
"""At least so many steps lie between two looks that confirm each other."""

WELL_AFTER = 48
"""So many steps after a correction, whose step may be warming up until then, one look decides whether it failed."""


class Inspector:
    """Decides when to look and what the looks mean.

    A network has collapsed when two looks in a row, at least `BETWEEN` steps apart, found the same output for every
    sample and the loss did not improve between them.

    Args:
        network: The module whose `forward` the training calls.
        together: Where several processes train it: what the first one saw counts.
    """

    def __init__(self, network: nn.Module, together: Together) -> None:
        self.looker = Looker(network)
        self._together = together
        self._look: Look | None = None
        self._looked = 0
        self._next = STALE
        self._constant_since = -1
        self.stillborn = False
        self.blind = True
        self.varied = 0
        self.usual: dict[str, tuple[float, float]] = {}

    @property
    def doubtful(self) -> bool:
        """Whether the last look found one answer for all samples."""
        return self._constant_since >= 0

    def arm(self) -> None:
        """Look at the first forward pass."""
        self.looker.arm()

    def close(self) -> None:
        """Let go of the network."""
        self.looker.disarm()

    def forget(self) -> None:
        """Take note that the weights were replaced."""
        self._constant_since = -1

    def plan(self, step: int, *, needed: bool, stale: int) -> None:
        """Arrange a look at the next step where one is due.

        Args:
            step: Steps taken.
            needed: Whether one is wanted in any case.
            stale: Steps since the loss last improved.
        """
        due = (stale >= STALE and step >= self._next) or step - self._looked >= APART
        if needed or due:
            self._looked = step + 1
            self._next = step + max(STALE, stale)  # rarer and rarer while nothing happens
            self.looker.arm()

    def collapsed(self, improved_step: int, act_step: int | None) -> bool:
        """Return whether the looks so far say that the network has collapsed.

        Args:
            improved_step: Step at which the loss last improved.
            act_step: Step of the correction on trial, if any.
        """
        self._take()
        look, self._look = self._look, None
        if look is None:
            return False
        if not look.is_constant:
            self._constant_since = -1
            if not math.isnan(look.output_variation):
                self.varied = self._looked
                self.usual = look.usual if act_step is None else self.usual
            return False
        since = self._constant_since
        improved = improved_step > since + BETWEEN
        if since < 0 or improved:
            self._constant_since = self._looked
        if act_step is not None:
            return self._looked - act_step >= WELL_AFTER
        return since >= 0 and self._looked - since >= BETWEEN and not improved

    def state(self) -> dict[str, Any]:
        """Return everything as plain values for a checkpoint."""
        self._take()
        return {
            "look": asdict(self._look) if self._look is not None else None,
            "looker": self.looker.state(),
            "steps": [self._looked, self._next, self._constant_since, self.varied],
            "flags": [self.stillborn, self.blind],
            "usual": self.usual,
        }

    def load(self, values: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        self._look = Look(**values["look"]) if values["look"] else None
        self._looked, self._next, self._constant_since, self.varied = values["steps"]
        self.stillborn, self.blind = values["flags"]
        self.usual = {name: (mean, spread) for name, (mean, spread) in values["usual"].items()}
        self.looker.load(values["looker"])

    def _take(self) -> None:
        look = self._together.agree(self.looker.take())
        if look is None:
            return
        self._look = look
        if self._looked == 0:
            self.stillborn = look.is_constant
            self.blind = math.isnan(look.output_variation)
