"""Follows a training loop from the outside: which step it is, what belongs to it, and what is odd about it."""

import math
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from torch import Tensor, nn
from torch.optim import Optimizer

from equipoise.vitals.events import Events
from equipoise.vitals.forward import Forward
from equipoise.vitals.kernel import Kernel
from equipoise.vitals.loss_tap import LOSS_TAP
from equipoise.vitals.oddities import odd_rows
from equipoise.vitals.origin import first_non_finite
from equipoise.vitals.parameters import ParameterTable
from equipoise.vitals.places import behaves_by_mode
from equipoise.vitals.reading import window_of
from equipoise.vitals.rows import Ring, Row
from equipoise.vitals.window import Window


class Recorder:
    """Hears forward passes, backward passes and optimiser steps, and writes a row for every sampled step.

    A step ends where the optimiser's does. Whatever was measured and differentiated since the gradients were last
    cleared belongs to it, so that half batches add up, and what another network's loss left behind does not count.
    Where no optimiser of torch holds the parameters, every backward pass is a step, which ends when the next begins.

    Args:
        network: The network.
        optimizer: Its optimiser; None to take the first one that steps and holds its parameters.
        every: Steps from one sampled step to the next.
        window: Sampled steps after which `full` is called.
        full: Called at the end of a window, outside of any measurement.
        kernel: What measures.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer | None,
        every: int,
        window: int,
        full: Callable[[], None],
        kernel: Kernel,
    ) -> None:
        self.network = network
        self.stepper = optimizer
        self.events = Events(window)
        self._every = every
        self._full = full
        self._number = kernel.number
        self._forward = Forward(network, kernel, self.failed)
        self._board = self._forward.board
        self._parameters = ParameterTable(network, kernel)
        self._ring = Ring(window)
        self.pulse = kernel.pulse(self._board, self._parameters.ledger, every, window)
        self._row: Row | None = None
        self._listening = False
        self._strangers: weakref.WeakSet[Optimizer] = weakref.WeakSet()
        self._others = 0  # steps of other optimisers that hold our parameters, since ours stepped
        self._backward_thread = 0  # that runs a backward pass of ours
        self._backwards = 0  # since the last step
        self._cleared = False  # whether the gradients were, before the backward pass that runs
        self._loss: float | Tensor = math.nan  # that it takes the gradient of
        self._loss_made_by = ""
        self._searches = 3  # for the operation that made a loss that is not finite
        self._stale = False
        self._unfinished = False  # a step without optimiser waits for the next backward pass to end it
        self._evaluating = False
        self._mode_matters = any(behaves_by_mode(module) for module in network.modules())
        self._silent = False  # since something of ours failed
        self._broken: set[str] = set()

    @property
    def step(self) -> int:
        """Steps of the optimiser so far."""
        return self.pulse.step

    def open(self) -> None:
        """Begin to listen; the step that comes next is sampled."""
        self._row = Row()
        self._forward.hang()
        self._listening = True
        LOSS_TAP.listen(self)

    def close(self) -> None:
        """Stop listening; nothing of ours remains on the network, the optimiser or torch."""
        self._unfold()
        self._listening = False
        LOSS_TAP.leave(self)
        self._forward.take_off()
        if self._unfinished:
            self._end_step_without_optimizer()
            self._forward.take_off()

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Hear nothing of what is done to the network meanwhile."""
        listening, silent = self._listening, self._silent
        self._silent = True
        self._forward.take_off()
        try:
            yield
        finally:
            self._silent = silent
            if listening and not silent and self._row is not None:
                self._forward.hang()

    def failed(self, where: str, problem: Exception) -> None:
        """Note once that something of ours failed at a place."""
        if where not in self._broken:
            self._broken.add(where)
            text = f"measuring failed here and was given up: {type(problem).__name__}: {problem}"
            self.events.add(self.step + 1, "hook_failed", where, text)

    def _give_up(self, where: str, problem: Exception) -> None:
        """Stop following the loop: after a failure here, what would be written could be wrong."""
        self._silent = True
        self._arm()
        self._forward.take_off()
        self.failed(where, problem)

    def record(self, loss: float | Tensor) -> None:
        """Take a loss for the step that is being made, or for the last one when the next has not begun."""
        self._unfold()
        value = loss.detach().clone() if isinstance(loss, Tensor) else float(loss)
        ring = self._ring
        if ring.count and ring.steps[ring.count - 1] == self.step and not self._begun():
            ring.correct(value)
        elif self._row is not None:
            self._row.recorded = value

    def taken(self) -> Window:
        """Return everything since the last call; the one place where a device is waited for."""
        self._unfold()
        self._check_parameters()
        ring, slots = self._ring, self._forward.slots
        try:
            window = window_of(ring, slots, self._parameters.weights, self._board)
        except Exception as problem:  # what waited on a device is no number after all
            self.failed("reading", problem)
            ring.give_up()
            for slot in slots:
                slot.totals = None
            window = window_of(ring, slots, self._parameters.weights, self._board)
        for slot in slots:
            slot.totals = None
        for event in odd_rows(window, ring, slots, self._loss_made_by):
            self.events.add(event.step, event.kind, event.where, event.text)
        ring.clear()
        return replace(window, events=self.events.taken())

    def before_backward(self, roots: Sequence[Tensor], loss: Tensor) -> None:
        """See `Listener`."""
        if self._backward_thread or self._silent or self.pulse.running:
            return
        try:
            if not self._may_be_ours(roots):
                return
            self._unfold()
            if self._unfinished:
                self._end_step_without_optimizer()
        except Exception as problem:  # our own mistake is never the user's
            self._give_up("backward", problem)
            return
        if self._ring.count >= self._ring.window:
            self._full()
        self._backward_thread = threading.get_ident()
        try:
            self._begin_backward(loss)
        except Exception as problem:  # our own mistake is never the user's
            self._give_up("backward", problem)

    def after_backward(self, finished: bool) -> None:
        """See `Listener`."""
        if self._backward_thread != threading.get_ident():
            return
        self._backward_thread = 0
        self._board.in_backward = False
        try:
            if finished:
                self._end_backward()
            else:
                self._forward.end(None)
        except Exception as problem:  # our own mistake is never the user's
            self._give_up("backward", problem)

    def skipped(self, optimizer: Optimizer) -> None:
        """See `Listener`."""
        if optimizer is self.stepper:
            self._unfold()
            text = "the gradient scaler left out a step, since its gradients were not finite"
            self.events.add(self.step + 1, "skipped_step", "loop.step", text)
            if self._row is not None:
                self._row.clear()

    def _may_be_ours(self, roots: Sequence[Tensor]) -> bool:
        """Whether a backward pass can be of this network.

        It is certain where gradients are already there, which takes a look at the graph. Where they are not, it is
        supposed so as long as a forward pass waits for its gradient, and turns out at the end.
        """
        parameters = self._parameters
        here = self._board.runs_here()
        if self._row is None and self.stepper is not None:
            self._cleared = self._cleared and not here
            return here  # nobody listens to forward passes now, and little depends on it
        # Before it is known to be ours, another thread may be at our gradients, and they cannot be read.
        if not here and not parameters.reached_from(roots):
            return False
        if not parameters.ready:
            self._prepare()
        self._cleared = parameters.cleared()
        return self._cleared or not here or parameters.reached_from(roots)

    def _begin_backward(self, loss: Tensor) -> None:
        row, cleared = self._row, self._cleared
        if cleared or not self._backwards:
            self._stale = not cleared and self.step > 0
            if row is not None:
                row.clear()
        if row is not None:
            self._loss = value = self._number(loss)
            if isinstance(value, float) and not math.isfinite(value) and self._searches and not self._loss_made_by:
                self._searches -= 1
                self._loss_made_by = first_non_finite(loss)
        self._board.in_backward = True

    def _end_backward(self) -> None:
        row = self._row
        if self._cleared and self._parameters.cleared():
            return  # it was not of this network: none of its gradients came
        self._forward.end(row)
        self._board.live_here()
        self._backwards += 1
        self._evaluating = not self.network.training
        if row is not None:
            row.losses.append(self._loss)
        if self.stepper is None:
            self._unfinished = True
            self._measure_gradients()

    def _prepare(self) -> None:
        self._parameters.prepare(self.stepper)
        self._ring.make_room(0, len(self._parameters.weights))
        self._note_outside()

    def _note_outside(self) -> None:
        for name in self._parameters.outside():
            text = f"the parameter {name} is trainable but the optimiser does not hold it"
            self.events.add(self.step + 1, "not_in_optimizer", name, text)

    def _measure_gradients(self) -> None:
        """Measure the gradients of a step without optimiser, before they are cleared."""
        row, ring = self._row, self._ring
        if row is not None:
            _, row.gradients = self._parameters.measure(ring.parameters, ring.count, False, True)
            row.measured = True

    def _end_step_without_optimizer(self) -> None:
        self._unfinished = False
        self._end_step(rate=float("nan"))

    def _unfold(self) -> None:
        """Go on with this step here: take over what the pulse did of it."""
        done = self.pulse.unfold()
        if done is not None and self._row is not None:
            loss, sheet = done
            self._row.losses.append(loss)
            self._row.sheets.append(sheet)
            self._backwards = 1

    def _arm(self) -> None:
        """Leave the next step to the pulse, as far as it is an ordinary one."""
        ring, parameters, row = self._ring, self._parameters, self._row
        stepper = None if self._silent or self._others else self.stepper
        ordinary = parameters.readable and len(self._forward.slots) <= ring.layers.shape[1]
        self.pulse.arm(
            stepper, parameters.optimized, ring.layers, ring.parameters, ring.lists, row is not None, ordinary
        )

    def after_step(self, optimizer: Optimizer) -> None:
        """See `Listener`."""
        done = self.pulse.stepped(optimizer)
        if done is not None:
            if done:
                self._parameters.lost(done)
            return
        if self._silent:
            return
        try:
            if optimizer is not self.stepper and not self._adopt(optimizer):
                return
            self._unfold()
            self._others = 0
            self._unfinished = False
            if not self._parameters.ready:
                self._prepare()
            if self._row is not None and (self._stale or self._evaluating or not self._backwards):
                self._note_oddities()
            self._end_step(optimizer.param_groups[0]["lr"])
        except Exception as problem:  # our own mistake is never the user's
            self._give_up("step", problem)
            return
        if self._ring.count >= self._ring.window:
            self._full()

    def _adopt(self, optimizer: Optimizer) -> bool:
        """Whether the steps of an optimiser that we were not given are ours from now on."""
        if optimizer in self._strangers:
            return False
        if not self._parameters.shares(optimizer):
            self._strangers.add(optimizer)
            return False
        self._parameters.hold(optimizer)
        if self.stepper is None:
            self._note_outside()
        else:
            self._others += 1
            if self._others < 2:  # it steps other parameters of the same network beside ours
                self._unfold()
                self._arm()
                return False
            text = "the optimiser that steps is not the one that was given, which never does"
            self.events.add(self.step + 1, "not_in_optimizer", "optimizer.params", text)
        self.stepper = optimizer
        self._parameters.step_by(optimizer)
        return True

    def _note_oddities(self) -> None:
        step = self.step + 1
        if self._stale:
            text = "gradients of the step before were still there when those of this one were added"
            self.events.add(step, "stale_gradient", "loop.zero_grad", text)
        if self._backwards == 0 and not self._parameters.have_gradients():
            self.events.add(step, "no_backward", "loop.backward", "the optimiser stepped without any gradient")
        if self._evaluating and self._mode_matters:
            text = "the network was in evaluation mode in a training step, and has layers that behave otherwise in it"
            self.events.add(step, "wrong_mode", "loop.mode", text)

    def _end_step(self, rate: float | Tensor) -> None:
        self.pulse.step = step = self.step + 1
        upcoming = step % self._every == 0
        row = self._row
        sample = step // self._every
        if row is not None and (sample < 8 or sample % 32 == 0):  # one that is made anew is so again at the next look
            self._note_replaced(self._parameters.replaced_one(sample if sample < 8 else sample // 32))
        if row is not None:
            self._write(row, rate)
        elif upcoming:
            self._parameters.remember(gradients=True)
        self._backwards = 0
        self._stale = self._evaluating = False
        if upcoming:
            self._row = Row()
            if row is None:
                self._forward.hang()
                LOSS_TAP.heed(self, now=True)
        elif row is not None:
            self._row = None
            self._forward.take_off()
            LOSS_TAP.heed(self, now=self.stepper is None)
        self._arm()

    def _write(self, row: Row, rate: float | Tensor) -> None:
        """Write the row of the step that ends."""
        ring, slots = self._ring, len(self._forward.slots)
        at = ring.count
        weights, gradients = self._parameters.measure(ring.parameters, at, True, not row.measured)
        if weights:
            row.weights = weights
            row.gradients = row.gradients or gradients
        if slots > ring.layers.shape[1]:
            ring.make_room(slots, 0)
        for sheet in row.sheets:
            self._board.settle(sheet, ring.layers, at)
        for slot, _, units in row.found:  # so that nothing of the size of units is kept for every step
            slot.totals = units if slot.totals is None else slot.totals + units
        ring.append(row, self.step, rate, self._backwards)

    def _begun(self) -> bool:
        return self._backwards > 0 or self._board.current is not None

    def _check_parameters(self) -> None:
        if self._parameters.ready:
            for name in self._parameters.replaced():
                self._note_replaced(name)

    def _note_replaced(self, name: str | None) -> None:
        if name is not None:
            text = f"{name} is another parameter than at the step before"
            self.events.add(self.step, "parameter_replaced", name, text)
