"""The kernel that measures tensors in one pass over their memory, where it was built; a stand-in where it was not.

The kernel is an extension module in C (`native/`), built when the package is installed and a C compiler is there. It
reads float32, bfloat16 and float16 on the processor, without gaps in memory. Everything else (other devices and types,
tensors with gaps, subclasses of `torch.Tensor`) goes the way of `plain` and `parameters`, which gives the same numbers.
"""

import importlib
import threading
from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from equipoise.vitals.activations import Bounds
from equipoise.vitals.plain import SCALARS

Statistics = tuple[Tensor, Tensor]

PLAIN, RECTIFIED, BOUNDED = range(3)
"""What a place counts as active: all but zero; the same after max(v, 0); all strictly between two bounds."""


class Meter(Protocol):
    """Numbers the calls of one module in a forward pass, and measures those whose place is known.

    Attributes:
        calls: Calls so far in this pass. The first one of a network begins a pass.
    """

    calls: int

    def __call__(self, output: object) -> bool:
        """Return whether there is nothing more to do for this call."""
        ...

    def bind(self, call: int, place: int) -> None:
        """Say where the call of that number, counted from 1, is measured."""
        ...


class Board(Protocol):
    """Where the activations of one network are measured.

    Attributes:
        current: The sheet of the forward pass that is running, or None.
        learning: Whether every call has to be looked at in Python.
        in_backward: Whether a backward pass is running.
        network: The network, whose mode is noted when a pass begins.
        training: That mode.
    """

    current: Any
    learning: bool
    in_backward: bool
    network: nn.Module | None
    training: bool

    def add(self, units: int, axes: int, axis: int) -> int:
        """Return the number of a new place, for tensors of `axes` axes with `units` units along `axis`."""
        ...

    def set(self, place: int, mode: int, low: float, high: float) -> None:
        """Say what counts as active at a place."""
        ...

    def begin(self) -> Any:
        """Return the sheet of a new forward pass, which is the current one from now on."""
        ...

    def end(self) -> Any:
        """Say that neither a forward nor a backward pass is running; return the sheet of the forward pass, or None."""
        ...

    def runs_here(self) -> bool:
        """Return whether this thread runs a forward pass."""
        ...

    def live_here(self) -> None:
        """Say that this thread trains the network: calls in others are not measured."""
        ...

    def elsewhere(self) -> bool:
        """Return whether this thread is another than the one that trains the network, as far as that is known."""
        ...

    def measure(self, place: int, tensor: Tensor) -> bool:
        """Measure a tensor on the current sheet; False when it cannot be read here."""
        ...

    def settle(self, sheet: Any, rows: np.ndarray, row: int) -> None:
        """Add a sheet to one of many rows, each some places of `plain.SCALARS`, and its units to the totals."""
        ...

    def totals(self, place: int) -> bytes:
        """Return the sums of a place's units since the last call, as (3, units) numbers in double precision."""
        ...


class Pulse(Protocol):
    """Follows ordinary steps by itself, so that Python is in their way as little as possible.

    An ordinary step has cleared gradients, one forward pass, one backward pass with a finite loss, one step of the
    optimiser, and nothing that the kernel cannot measure. Every 32nd is left to Python all the same, to look around.

    Attributes:
        running: Whether a backward pass is running that Python did not hear of.
        step: Steps so far.
    """

    running: bool
    step: int

    def arm(
        self,
        stepper: Optimizer | None,
        optimized: tuple[int, ...],
        layers: np.ndarray,
        parameters: np.ndarray,
        lists: tuple[list[Any], ...],
        sampled: bool,
        ordinary: bool,
    ) -> None:
        """Say what the step that comes next needs: see `Ring`; without `stepper`, all of it is left to Python."""
        ...

    def unfold(self) -> tuple[float, Any] | None:
        """Leave the rest of this step to Python; return loss and sheet of its backward pass, if that was ordinary."""
        ...

    def begins(self, roots: object) -> bool:
        """Return whether this is the backward pass of an ordinary step, of which `ends` is all there is to say."""
        ...

    def ends(self, finished: bool) -> None:
        """Hear that it was finished, or failed."""
        ...

    def stepped(self, optimizer: Optimizer) -> Sequence[int] | None:
        """Return None when Python has to see to a step; otherwise which parameters cannot be read any more."""
        ...


class StandInPulse:
    """A pulse that leaves every step to Python."""

    def __init__(self) -> None:
        self.running = False
        self.step = 0

    def arm(
        self,
        stepper: Optimizer | None,
        optimized: tuple[int, ...],
        layers: np.ndarray,
        parameters: np.ndarray,
        lists: tuple[list[Any], ...],
        sampled: bool,
        ordinary: bool,
    ) -> None:
        """See `Pulse`."""

    def unfold(self) -> None:
        """See `Pulse`."""

    def begins(self, roots: object) -> bool:
        """See `Pulse`."""
        del roots
        return False

    def ends(self, finished: bool) -> None:
        """See `Pulse`."""

    def stepped(self, optimizer: Optimizer) -> None:
        """See `Pulse`."""


class StandInBoard:
    """A board that counts calls and leaves all measuring to `plain`."""

    def __init__(self) -> None:
        self.current: object = None
        self.learning = False
        self.in_backward = False
        self.network: nn.Module | None = None
        self.training = True
        self._thread = self._home = 0
        self._places = 0

    def add(self, units: int, axes: int, axis: int) -> int:
        """See `Board`."""
        del units, axes, axis
        self._places += 1
        return self._places - 1

    def set(self, place: int, mode: int, low: float, high: float) -> None:
        """See `Board`."""

    def begin(self) -> object:
        """See `Board`."""
        self.current = object()
        self.training = self.network is not None and self.network.training
        self._thread = threading.get_ident()
        return self.current

    def end(self) -> object:
        """See `Board`."""
        sheet, self.current, self.in_backward = self.current, None, False
        return sheet

    def runs_here(self) -> bool:
        """See `Board`."""
        return self.current is not None and self._thread == threading.get_ident()

    def live_here(self) -> None:
        """See `Board`."""
        self._home = threading.get_ident()

    def elsewhere(self) -> bool:
        """See `Board`."""
        here = threading.get_ident()
        return self._home not in (0, here) or (self.current is not None and self._thread != here)

    def measure(self, place: int, tensor: Tensor) -> bool:
        """See `Board`."""
        del place, tensor
        return False

    def settle(self, sheet: object, rows: np.ndarray, row: int) -> None:
        """See `Board`."""

    def totals(self, place: int) -> bytes:
        """See `Board`."""
        del place
        return b""


class StandInMeter:
    """A meter that numbers calls and leaves all measuring to `plain`."""

    def __init__(self, board: Board) -> None:
        self.calls = 0
        self._board = board
        self._sheet: object = None

    def __call__(self, output: object) -> bool:
        """See `Meter`."""
        del output
        board = self._board
        if not torch.is_grad_enabled() or board.elsewhere():
            return True
        if board.current is None:
            board.begin()
        if self._sheet is not board.current:
            self._sheet, self.calls = board.current, 0
        if board.in_backward and self.calls:
            return True  # a checkpointed segment runs once more
        self.calls += 1
        return False

    def bind(self, call: int, place: int) -> None:
        """See `Meter`."""


class Kernel:
    """The kernel of this process, or the stand-in.

    Attributes:
        name: `statistics_avx2`, `statistics_baseline`, or empty for the stand-in.
    """

    def __init__(self, *, native: bool = True) -> None:
        self._module: Any = None
        self.name = ""
        if native:
            try:
                self._module = importlib.import_module("equipoise.vitals._kernel")
            except ImportError:
                return
            self.name = str(self._module.prepare(torch))

    def board(self) -> Board:
        """Return a fresh board."""
        return cast(Board, self._module.Board()) if self._module else StandInBoard()

    def meter(self, board: Board) -> Meter:
        """Return a fresh meter for one module."""
        return cast(Meter, self._module.Meter(board)) if self._module else StandInMeter(board)

    def statistics(self, values: Tensor, axis: int | None, mode: int, bounds: Bounds | None) -> Statistics | None:
        """Return what `plain.activation_statistics` does, of a tensor that belongs to no place; None if unreadable."""
        board = self.board()
        board.add(1 if axis is None else values.shape[axis], values.dim(), -1 if axis is None else axis)
        board.set(0, mode, *(bounds or (0.0, 0.0)))
        sheet = board.begin()
        if not values.numel() or not board.measure(0, values):
            return None
        scalars = np.zeros((1, 1, len(SCALARS)))
        board.settle(sheet, scalars, 0)
        units = np.frombuffer(bytearray(board.totals(0))).reshape(3, -1)
        return torch.from_numpy(scalars[0, 0]), torch.from_numpy(units)

    def number(self, value: Tensor) -> float | Tensor:
        """Return the only value of a tensor where it can be read at once, without waiting for a device."""
        found: float | None = self._module.number(value) if self._module else None
        return value.detach() if found is None else found

    def ledger(self) -> Any:
        """Return a fresh ledger of parameters; None without the kernel."""
        return self._module.Ledger() if self._module else None

    def pulse(self, board: Board, ledger: Any, every: int, window: int) -> Pulse:
        """Return a fresh pulse for a board and a ledger, a sample of one step out of `every` and so many rows."""
        return cast(Pulse, self._module.Pulse(board, ledger, every, window)) if self._module else StandInPulse()
