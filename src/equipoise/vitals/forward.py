"""Measures activations in forward passes, and keeps those whose gradient is taken."""

import threading
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from equipoise.vitals.activations import Bounds, of_module, unit_axis
from equipoise.vitals.following import Followed, Following
from equipoise.vitals.kernel import BOUNDED, PLAIN, RECTIFIED, Kernel, Meter
from equipoise.vitals.places import can_be_hooked, is_compiled, measured_places, tensors_of
from equipoise.vitals.plain import ROWS, activation_statistics
from equipoise.vitals.rows import Found, Pass, Row, Slot
from equipoise.vitals.tap import Gate, Tap

_PENDING = 32
"""Most forward passes that are kept until it is known whether their gradient is taken."""


class Forward:
    """The hooks on the modules of one network, and what they measured since the last backward pass.

    Passes without gradients are never measured. Of the others those count whose gradient is taken: with a single one
    since the last backward pass that is certain; as soon as there were several, each pass is marked by a hook on what
    the network returned, so that an evaluation under gradients is told from a second half of the batch.

    Args:
        network: The network.
        kernel: What measures.
        failed: Called with a place and an exception when a hook fails.

    Attributes:
        board: Where the kernel measures; the number of a place is that of its slot.
        slots: Every place so far, in the order of the computation.
    """

    def __init__(self, network: nn.Module, kernel: Kernel, failed: Callable[[str, Exception], None]) -> None:
        self._network = network
        self._kernel = kernel
        self.board = kernel.board()
        self.board.network = network
        self.slots: list[Slot] = []
        self._passes: list[Pass] = []  # since the last backward pass, where there were several
        self._of_call: dict[tuple[str, int], Slot] = {}
        self._meters: list[tuple[Meter, int]] = []  # of each slot, with the number of the call
        self._careful = False
        self._found: list[Found] = []  # what the kernel could not measure in the pass that is running
        self._handles: list[RemovableHandle] = []  # of the network as a whole
        self._places: list[tuple[RemovableHandle, Tap]] = []  # of each module, once its hook was hung
        self._hung = False
        self._following: Following | None = None
        self._learner = 0  # the thread whose calls it follows, which alone can end that
        self._followed: dict[int, tuple[Followed, Tensor, Tensor]] = {}
        self._learning = not any(is_compiled(module) for module in network.modules())
        self._whole = not is_compiled(network) or can_be_hooked(network)
        self._entry, self._exit = Gate(self._enter, failed), Gate(self._leave, failed)
        self._taps = [
            (module, Tap(path, kernel.meter(self.board), self._observe, failed))
            for path, module in measured_places(network)
        ]

    def hang(self) -> None:
        """Hang the hooks on the modules, where they do not hang already."""
        if self._hung:
            return
        self._hung = True
        if self._places:  # writing them back is much cheaper than registering them anew
            for handle, tap in self._places:
                hooks = handle.hooks_dict_ref()
                if hooks is not None:
                    hooks[handle.id] = tap
        else:
            self._places = [(module.register_forward_hook(tap), tap) for module, tap in self._taps]
        if self._learning or self._careful:
            self._hang_on_whole()

    def take_off(self) -> None:
        """Take every hook off the modules, and forget what waits for its gradient."""
        self._unhang()
        self._end_following()
        self._forget()

    def _unhang(self) -> None:
        self._hung = False
        for handle, _ in self._places:
            handle.remove()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def end(self, row: Row | None) -> None:
        """Give a row what the passes measured whose gradient was just taken; the others are forgotten."""
        training = self.board.training
        sheet = self.board.end()
        if self._passes or self._found or self._learning:
            several = bool(self._passes)
            self._give(row, self._chosen() if several else [Pass(training, sheet, self._found)])
        elif row is not None and sheet is not None:
            row.sheets.append(sheet)

    def _give(self, row: Row | None, chosen: list[Pass]) -> None:
        if row is not None:
            row.sheets.extend(one.sheet for one in chosen if one.sheet is not None)
            row.found.extend(found for one in chosen for found in one.found)
        self._forget()
        if self._learning:
            self._learning = False
            if not self._careful:
                self._hang_anew()

    def _forget(self) -> None:
        self._passes.clear()
        self._found = []
        self.board.end()

    def _chosen(self) -> list[Pass]:
        confirmed = [one for one in self._passes if one.confirmed]
        if len(self._passes) < 2 or not confirmed:
            return self._passes[-1:]
        first = self._passes[0]
        if not first.marked and first.training == confirmed[-1].training:
            return [first, *confirmed]  # nobody knew yet that there would be several
        return confirmed

    def _hang_on_whole(self) -> None:
        """Hang hooks on the network as a whole, which tell where a pass begins and ends."""
        if self._whole:
            self._handles.append(self._network.register_forward_pre_hook(self._entry))
            self._handles.append(self._network.register_forward_hook(self._exit, always_call=True))

    def _hang_anew(self) -> None:
        if self._hung:
            self._unhang()
            self.hang()

    def _enter(self, _: nn.Module, __: object) -> None:
        board = self.board
        if board.in_backward or not torch.is_grad_enabled() or board.elsewhere() or torch.jit.is_tracing():
            return
        self._begin()
        if self._learning and self._following is None:
            board.learning = True
            self._following, self._learner = Following(self._follow), threading.get_ident()
            self._following.__enter__()

    def _end_following(self) -> bool:
        if self._following is None or self._learner != threading.get_ident():
            return False
        following, self._following = self._following, None
        self.board.learning = False
        following.__exit__(None, None, None)
        return True

    def _begin(self) -> None:
        """Begin a forward pass beside those that still wait for their gradient."""
        board = self.board
        if board.current is not None and not self._passes:
            self._passes.append(Pass(board.training, board.current, self._found))
        if self._passes and not self._careful:
            self._careful = True
            if not self._learning:
                self._hang_anew()
        sheet = board.begin()
        self._found = []
        self._passes.append(Pass(board.training, sheet, self._found))
        if len(self._passes) > _PENDING:
            del self._passes[1]

    def _leave(self, _: nn.Module, __: object, output: object) -> None:
        board = self.board
        if self._end_following():
            self._learned()
        if self._careful and self._passes and not board.in_backward and torch.is_grad_enabled() and board.runs_here():
            current = self._passes[-1]
            current.marked = True
            for tensor in tensors_of(output):
                if tensor.requires_grad and not tensor.is_leaf:
                    tensor.register_hook(current.confirm)

    def _observe(self, tap: Tap, module: nn.Module, output: object) -> None:
        """Measure what the meter could not: a new place, a tuple, another device or type."""
        if self._is_another_pass(tap):
            self._begin()
            if tap.meter(output):
                return
        values = next(iter(tensors_of(output)), None)
        if values is None or not _is_real(values):
            return
        call = tap.meter.calls
        slot = self._of_call.get((tap.name, call)) or self._slot(tap, call, module, values)
        if self._following is not None:
            self._learn(self._following, slot, output, values)
        self._measure(slot, module, values)

    def _is_another_pass(self, tap: Tap) -> bool:
        """Whether a module runs once more than in the passes before: then a second pass has begun unnoticed."""
        if self._careful or self._learning or self.board.in_backward:
            return False
        call = tap.meter.calls
        return call > 1 and (tap.name, call) not in self._of_call and (tap.name, call - 1) in self._of_call

    def _measure(self, slot: Slot, module: nn.Module, values: Tensor) -> None:
        values = values.detach()
        axis = self._axis(slot, module, values)
        if self._following is None:  # while learning, what is measured may be replaced, which a board cannot do
            if slot.apply is not None and not slot.rectified:
                with torch.no_grad():
                    values = slot.apply(values)
            if self.board.measure(slot.index, values):
                return
            if not values.is_contiguous() and self.board.measure(slot.index, values.contiguous()):
                return
            if slot.rectified:
                values = torch.relu(values)
        scalars, units = self._statistics(values, axis, slot.activation.bounds)
        if units.shape[1] != slot.units:
            units = units.new_zeros(3, slot.units)  # another shape than before: its units are not the same ones
            scalars[ROWS] = 0
        self._found.append((slot, scalars, units))

    def _statistics(self, values: Tensor, axis: int | None, bounds: Bounds | None) -> tuple[Tensor, Tensor]:
        found = self._kernel.statistics(values, axis, BOUNDED if bounds else PLAIN, bounds)
        return activation_statistics(values, axis, bounds) if found is None else found

    def _slot(self, tap: Tap, call: int, module: nn.Module, values: Tensor) -> Slot:
        name = tap.name or "network"
        slot = Slot(
            index=len(self.slots),
            name=name if call == 1 else f"{name}@{call}",
            kind=type(module).__name__,
            activation=of_module(module),
            apply=None,
            operation=values.grad_fn.name() if values.grad_fn is not None else "",
            units=1,
        )
        axis = self._axis(slot, module, values)
        slot.units = 1 if axis is None else values.shape[axis]
        self.slots.append(slot)
        self._of_call[tap.name, call] = slot
        self.board.add(slot.units, values.dim(), -1 if axis is None else axis)
        self._meters.append((tap.meter, call))
        self._settle_mode(slot)
        return slot

    def _settle_mode(self, slot: Slot) -> None:
        """Tell the board what counts as active at a place, and the meter whether it may measure by itself."""
        low, high = slot.activation.bounds or (0.0, 0.0)
        mode = BOUNDED if slot.activation.bounds else RECTIFIED if slot.rectified else PLAIN
        self.board.set(slot.index, mode, low, high)
        meter, call = self._meters[slot.index]
        meter.bind(call, slot.index if slot.apply is None or slot.rectified else -1)

    def _axis(self, slot: Slot, module: nn.Module, values: Tensor) -> int | None:
        """Return the axis of the units; an activation keeps that of the layer that it follows."""
        if values.dim() not in slot.axes:
            axis = unit_axis(module, values)
            before = self.slots[slot.index - 1] if slot.index else None
            if slot.activation.name and before is not None and before.axes.get(values.dim(), axis) != axis:
                kept = before.axes[values.dim()]
                if kept is not None and values.shape[kept] == before.units:
                    axis = kept
            slot.axes[values.dim()] = axis
        return slot.axes[values.dim()]

    def _learn(self, following: Following, slot: Slot, output: object, values: Tensor) -> None:
        """Tell activations that are modules from those that follow a layer as a plain call."""
        inside = following.activation_of(values)
        if inside.name:
            if not slot.activation.name:  # a module of the user's own that is nothing but an activation
                slot.activation = inside
                self._settle_mode(slot)
            self._followed = {key: one for key, one in self._followed.items() if one[0].result is not values}
        if isinstance(output, Tensor):
            following.put_out(slot, output)

    def _follow(self, followed: Followed) -> None:
        """Measure what an activation made of a layer's output; whether it is a module shows when that ends."""
        slot = followed.layer
        if not isinstance(slot, Slot) or slot.activation.name or slot.index in self._followed:
            return
        if not _is_real(followed.result):
            return
        axis = slot.axes.get(followed.result.dim())
        fits = axis is not None and followed.result.shape[axis] == slot.units
        values = followed.result.detach()
        scalars, units = self._statistics(values, axis if fits else None, followed.activation.bounds)
        if not fits:
            units = units.new_zeros(3, slot.units)
            scalars[ROWS] = 0
        self._followed[slot.index] = followed, scalars, units

    def _learned(self) -> None:
        """Give every layer the activation that follows it, and its measurements of this pass with it."""
        found = self._found
        for index, (followed, scalars, units) in self._followed.items():
            slot = self.slots[index]
            slot.activation, slot.apply = followed.activation, followed.apply
            self._settle_mode(slot)
            for at, (one, *_) in enumerate(found):
                if one is slot:
                    found[at] = slot, scalars, units
        self._followed.clear()


def _is_real(values: Tensor) -> bool:
    """Whether a tensor holds numbers: those of a dry run or inside `torch.func`'s transforms are none to measure."""
    try:
        return values.device.type != "meta" and (values.data_ptr() != 0 or not values.numel())
    except RuntimeError:
        return False
