"""What must be decided alike where several processes train one network; alone there is nothing to agree on."""

import time
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

Value = TypeVar("Value")


class Together(Protocol):
    """How the processes that train one network agree."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""

    @property
    def apart(self) -> tuple[int, ...]:
        """Numbers that keep this process's random draws apart from those of the first one."""

    def is_due(self, due: float) -> bool:
        """Return whether it is time to look at clock and loss; asked after every step.

        Args:
            due: When it is, as `time.perf_counter` counts.

        Raises:
            KeyboardInterrupt: The training was interrupted in one of the processes.
        """

    def agree(self, value: Value) -> Value:
        """Return what the first process passes; the others pass what they would have decided."""

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes."""


@dataclass(frozen=True, slots=True)
class Alone:
    """One process."""

    @property
    def first(self) -> bool:
        """Return true."""
        return True

    @property
    def apart(self) -> tuple[int, ...]:
        """Return nothing."""
        return ()

    def is_due(self, due: float) -> bool:
        """Return whether that moment has come."""
        return time.perf_counter() >= due

    def agree(self, value: Value) -> Value:
        """Return the value."""
        return value

    def mean(self, values: Tensor) -> Tensor:
        """Return the values."""
        return values


def whole(values: Tensor) -> Tensor:
    """Return a tensor that may be divided among processes as one that each holds; all of them must ask."""
    gather = getattr(values, "full_tensor", None)
    return values if gather is None else gather()
