"""What a streaming detector is, and how often all of them together may be wrong about a healthy training."""

from typing import Protocol

from equipoise.core.diagnosis import Symptom
from equipoise.vitals.window import Window

ALPHA = 5e-4
"""Chance that one detector raises an alarm in a whole training in which its null hypothesis holds.

Twenty detectors together stay below 1 % (Bonferroni), however long the training and however often they look.
"""


class Detector(Protocol):
    """Watches the vital signs of one training, window by window, with bounded memory."""

    @property
    def name(self) -> str:
        """Id, kebab-case; also the name of its symptoms."""
        ...

    @property
    def faults(self) -> tuple[str, ...]:
        """Words of `core.faults.FAULTS` that its symptoms can suggest."""
        ...

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Take in the next window and return what is newly established; nothing when nothing is."""
        ...
