"""Leaving a training as it was found: its network, its optimiser, and what its loss and loop keep to themselves."""

import collections
import copy
import functools
import inspect
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from equipoise.examine.probes.setup import LAZY, Setup

Undo = Callable[[], object]


@contextmanager
def untouched(setup: Setup) -> Iterator[None]:
    """Put network, optimiser, loss and loop back as they were, whatever they do to themselves.

    Experiments work on copies of the network; only the user's `begin`, `step` and `evaluate` can reach the original.
    The loss is the user's own, and may keep a state: buffers, counters, lists, generators; so may the loop.
    """
    own = [one for one in (setup.begin, setup.step, setup.evaluate) if one is not None]
    keeper = Keeper()
    for called in (setup.loss, *own):
        keeper.keep_callable(called)
    optimizer = None
    if own:
        keeper.keep(setup.network)
        optimizer = setup.optimizer if isinstance(setup.optimizer, Optimizer) else None
    state = copy.deepcopy(optimizer.state_dict()) if optimizer is not None else None
    plain = random.getstate()
    try:
        yield
    finally:
        keeper.put_back()
        if optimizer is not None and state is not None:
            optimizer.load_state_dict(state)
        random.setstate(plain)


class Keeper:
    """Remembers what objects hold and puts it back in place, so that everything that refers to them sees it too."""

    def __init__(self) -> None:
        self._undo: list[Undo] = []
        self._seen: dict[int, object] = {}

    def put_back(self) -> None:
        """Put everything back that was kept."""
        for undo in reversed(self._undo):
            undo()

    def keep_callable(self, called: object) -> None:
        """Keep the state of a callable: of an object or its method, of a partial, or of a closure.

        Bare tensors of a closure, and of an object whose method it is, are data as a rule and not kept.
        """
        if isinstance(called, functools.partial):
            self.keep_callable(called.func)
            self._keep_all((*called.args, *called.keywords.values()))
        elif isinstance(called, FunctionType):
            self._keep_function(called)
        elif inspect.ismethod(called) and not isinstance(called.__self__, nn.Module):
            self._keep_namespace(vars(called.__self__) if hasattr(called.__self__, "__dict__") else {}, data=True)
        elif inspect.ismethod(called) or isinstance(called, nn.Module) or not hasattr(called, "__dict__"):
            self.keep(getattr(called, "__self__", called))
        else:
            self._keep_namespace(vars(called))

    def keep(self, value: object) -> None:
        """Keep what a value holds, where it is a module, a tensor, a container or a generator."""
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if isinstance(value, nn.Module):
            self._keep_namespace(vars(value))
        elif isinstance(value, Tensor):
            self._keep_tensor(value)
        elif isinstance(value, (dict, list, set, collections.deque)):
            self._keep_container(value)
        elif isinstance(value, torch.Generator):
            self._undo.append(functools.partial(value.set_state, value.get_state()))
        elif isinstance(value, np.random.Generator):
            self._undo.append(functools.partial(setattr, value.bit_generator, "state", value.bit_generator.state))

    def _keep_all(self, values: Iterable[object], *, data: bool = False) -> None:
        for value in values:
            if data and isinstance(value, (list, set, dict, collections.deque)):
                self._keep_container(value, data=True)
            elif not (data and isinstance(value, Tensor)):
                self.keep(value)

    def _keep_function(self, called: FunctionType) -> None:
        self._keep_namespace(vars(called))
        for cell in called.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # a name that is not bound yet
                continue
            self._undo.append(functools.partial(setattr, cell, "cell_contents", value))
            if callable(value) and not isinstance(value, (nn.Module, type)) and id(value) not in self._seen:
                self._seen[id(value)] = value
                self.keep_callable(value)
            else:
                self._keep_all([value], data=True)
        self._keep_all(called.__defaults__ or (), data=True)

    def _keep_namespace(self, space: dict[str, Any], *, data: bool = False) -> None:
        before = dict(space)

        def put_back() -> None:
            for name in [name for name in space if name not in before]:
                del space[name]
            space.update(before)

        self._undo.append(put_back)
        self._keep_all(before.values(), data=data)

    def _keep_container(
        self, value: dict[Any, Any] | list[Any] | set[Any] | collections.deque[Any], *, data: bool = False
    ) -> None:
        before = copy.copy(value)

        def put_back() -> None:
            value.clear()
            value.extend(before) if isinstance(value, (list, collections.deque)) else value.update(before)

        self._undo.append(put_back)
        if not data:
            self._keep_all(before.values() if isinstance(before, dict) else before)

    def _keep_tensor(self, value: Tensor) -> None:
        if isinstance(value, LAZY) or not value.is_leaf:
            return
        before, gradient = value.detach().clone(), value.grad
        slope, trained = None if gradient is None else gradient.detach().clone(), value.requires_grad

        @torch.no_grad()
        def put_back() -> None:
            value.requires_grad_(trained)
            _write(value.detach(), before)
            value.grad = gradient
            if gradient is not None and slope is not None:
                _write(gradient, slope)

        self._undo.append(put_back)


def _write(value: Tensor, before: Tensor) -> None:
    if value.shape == before.shape and not torch.equal(value, before):
        value.copy_(before)
