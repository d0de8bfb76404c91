"""What several detectors need of a window, worked out once."""

import numpy as np

from equipoise.vitals.detectors.depth_profile import Profile, profile
from equipoise.vitals.detectors.levels import Levels
from equipoise.vitals.detectors.parameters import Depth, Totals, by_depth, totals
from equipoise.vitals.window import Window


class Reading:
    """The record of the loss and views of the last window; detectors of one training may share it.

    Attributes:
        levels: The record of the loss.
        totals: Sums over all trained parameters of the last window.
    """

    def __init__(self) -> None:
        self.levels = Levels()
        self.totals = Totals(*(np.empty(0),) * 4)
        self._last: Window | None = None
        self._profile: Profile | None = None
        self._depth: Depth | None = None

    def take(self, window: Window) -> None:
        """Take in a window; a second time with the same one does nothing."""
        if window is self._last:
            return
        before, self._last, self._profile = self._last, window, None
        self.levels.add(window)
        if before is None or before.weights != window.weights or before.layers != window.layers:
            self._depth = None
        self.totals = totals(window)

    def depth(self) -> Depth:
        """Return the layers of the last window in the order of the computation."""
        if self._last is None:
            raise RuntimeError("got no window yet; expected one. Call `take` before `depth`.")
        if self._depth is None:
            self._depth = by_depth(self._last)
        return self._depth

    def profile(self) -> Profile:
        """Return how gradients of the last window change over the depth."""
        if self._last is None:
            raise RuntimeError("got no window yet; expected one. Call `take` before `profile`.")
        if self._profile is None:
            self._profile = profile(self._last, self.depth())
        return self._profile
