"""Bytes held by tensors: those alive at once during a forward pass, and those kept for the backward pass."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode


def distinct_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of the memory behind tensors, memory that several share counted once."""
    return sum({_place(one): one.untyped_storage().nbytes() for one in tensors}.values())


class LiveBytes(TorchFunctionMode):
    """While active, follows how many bytes of results are alive at once.

    Results are those of torch functions as the network calls them; work space inside a kernel is not seen. Memory that
    is already there (weights, inputs) does not count.

    Attributes:
        peak: Most bytes alive at once so far.
        now: Bytes alive now.
    """

    def __init__(self, already: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self.now = 0
        self._alive: set[int] = {_place(one) for one in already}

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Call the function and follow its results."""
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            self._follow(tensor)
        return out

    def _follow(self, tensor: Tensor) -> None:
        storage, place = tensor.untyped_storage(), _place(tensor)
        size = storage.nbytes()
        if place in self._alive or size == 0:
            return
        self._alive.add(place)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, place, size)

    def _gone(self, place: int, size: int) -> None:
        self._alive.discard(place)
        self.now -= size


@contextmanager
def kept_for_backward(already: Iterable[Tensor]) -> Iterator[dict[int, int]]:
    """While active, collect the memory that autograd keeps for the backward pass, as bytes by address.

    Memory that is already there (weights, inputs) does not count, and memory that several operations keep counts once.
    """
    known = {_place(one) for one in already}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if _place(tensor) not in known:
            kept[_place(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensors(values: object) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        if values.layout is torch.strided:
            yield values
    elif isinstance(values, (tuple, list)):
        for one in values:
            yield from _tensors(one)
