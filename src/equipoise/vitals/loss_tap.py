"""Hears every backward pass of the process while somebody listens, and puts torch back as it was afterwards."""

import functools
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from equipoise.vitals.kernel import Pulse


class Listener(Protocol):
    """Wants to know of backward passes and of steps that a gradient scaler leaves out. Nothing it does may raise.

    Attributes:
        pulse: Is asked first where there is a single listener; of what it takes, the listener hears nothing.
    """

    @property
    def pulse(self) -> Pulse:
        """See above."""
        ...

    def before_backward(self, roots: Sequence[Tensor], loss: Tensor) -> None:
        """Hear that the gradient of `roots` is about to be taken.

        `loss` is their value without dimensions and unscaled, not detached; keeping it would keep the graph.
        """

    def after_backward(self, finished: bool) -> None:
        """Hear that it was taken, or failed."""

    def after_step(self, optimizer: Optimizer) -> None:
        """Hear that any optimiser of the process has stepped."""

    def deaf(self) -> AbstractContextManager[None]:
        """Return a context without hooks on any module."""
        ...

    def skipped(self, optimizer: Optimizer) -> None:
        """Hear that a gradient scaler left out a step of `optimizer`."""


class LossTap:
    """Stands in for `torch.autograd.backward`, which `Tensor.backward` calls as well, while there are listeners.

    `torch.amp.GradScaler` is heard too: the loss that it scales is told as it was before, and a step it leaves out is
    told. A backward pass inside another one (a checkpointed segment) is no root and is not told.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a watch may be thrown away, and end, at any time
        self._known: tuple[Listener, ...] = ()
        self._listeners: tuple[Listener, ...] = ()  # those that want to be told of backward passes now
        self._only: Pulse | None = None  # of the only one of them
        self._within: set[int] = set()  # threads that run a backward pass
        self._restore: list[Callable[[], None]] = []
        self._scaled: tuple[Tensor, Tensor] | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody listens, so that torch is as it was."""
        return not self._known

    def listen(self, listener: Listener) -> None:
        """Add a listener; the first one puts the taps in place."""
        with self._lock:
            if not self._known:
                self._install()
            self._known = (*self._known, listener)
            self._tell((*self._listeners, listener))

    def heed(self, listener: Listener, *, now: bool) -> None:
        """Tell a listener of backward passes from now on, or leave it in peace for a while; that is cheap."""
        with self._lock:
            if self._known == (listener,):
                self._tell(self._known if now else ())
                return
            others = tuple(one for one in self._listeners if one is not listener)
            self._tell((*others, listener) if now and listener in self._known else others)

    def _tell(self, listeners: tuple[Listener, ...]) -> None:
        self._listeners = listeners
        self._only = listeners[0].pulse if len(listeners) == 1 else None

    def leave(self, listener: Listener) -> None:
        """Take a listener away; the last one puts torch back as it was."""
        with self._lock:
            self._known = tuple(one for one in self._known if one is not listener)
            self._tell(tuple(one for one in self._listeners if one is not listener))
            if not self._known:
                for restore in self._restore:
                    restore()
                self._restore.clear()
                self._scaled = None

    def _install(self) -> None:
        self._replace(torch.autograd, "backward", self._around_backward)
        # One hook for all: hooks that come and go while another thread's optimiser calls them would break its step.
        self._restore.append(register_optimizer_step_post_hook(self._stepped).remove)
        for name in ("script", "trace"):  # a compiler of modules would compile their hooks as well
            self._replace(torch.jit, name, self._without_hooks)
        self._replace(torch.amp.GradScaler, "scale", self._around_scale)
        self._replace(torch.amp.GradScaler, "step", self._around_step)

    def _stepped(self, optimizer: Optimizer, *_: object) -> None:
        for listener in self._known:
            listener.after_step(optimizer)

    def _replace(self, owner: Any, name: str, around: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        ours = functools.wraps(original)(around(original))
        setattr(owner, name, ours)

        def restore() -> None:
            # Whoever replaced it after us holds ours, which without listeners only passes calls on.
            if getattr(owner, name) is ours:
                setattr(owner, name, original)

        self._restore.append(restore)

    def _around_backward(self, original: Callable[..., None]) -> Callable[..., None]:
        def backward(tensors: Any, grad_tensors: Any = None, *args: Any, **options: Any) -> None:
            only = self._only
            if only is not None and grad_tensors is None and self._scaled is None and only.begins(tensors):
                finished = False
                try:
                    original(tensors, None, *args, **options)
                    finished = True
                finally:
                    only.ends(finished)
                return None
            listeners, within, thread = self._listeners, self._within, threading.get_ident()
            if not listeners or thread in within:
                return original(tensors, grad_tensors, *args, **options)
            try:
                roots, loss = self._as_told(tensors, grad_tensors)
            except Exception:  # a wrong call: torch says best what is wrong with it
                return original(tensors, grad_tensors, *args, **options)
            for listener in listeners:
                listener.before_backward(roots, loss)
            within.add(thread)
            finished = False
            try:
                original(tensors, grad_tensors, *args, **options)
                finished = True
            finally:
                within.discard(thread)
                for listener in listeners:
                    listener.after_backward(finished)
            return None

        return backward

    def _as_told(self, tensors: Any, seeds: Any) -> tuple[Sequence[Tensor], Tensor]:
        scaled = self._scaled
        if isinstance(tensors, Tensor):
            if scaled is not None:
                self._scaled = None
                if scaled[0] is tensors:
                    return (tensors,), scaled[1]
            if seeds is None and tensors.dim() == 0:
                return (tensors,), tensors
            return (tensors,), _value(tensors, seeds[0] if isinstance(seeds, (tuple, list)) and seeds else seeds)
        roots = tuple(tensors)
        weights = (None,) * len(roots) if seeds is None else (seeds,) if isinstance(seeds, Tensor) else tuple(seeds)
        values = [_value(root, weight) for root, weight in zip(roots, weights, strict=True)]
        return roots, torch.stack(values).sum() if len(values) > 1 else values[0]

    def _without_hooks(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            with ExitStack() as stack:
                for listener in self._known:
                    stack.enter_context(listener.deaf())
                return original(*args, **options)

        return call

    def _around_scale(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def scale(scaler: torch.amp.GradScaler, outputs: Any) -> Any:
            result = original(scaler, outputs)
            if isinstance(outputs, Tensor) and self._listeners:
                self._scaled = (result, outputs.detach())
            return result

        return scale

    def _around_step(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(scaler: torch.amp.GradScaler, optimizer: Optimizer, *args: Any, **options: Any) -> Any:
            if not self._known or not isinstance(optimizer, Optimizer):
                return original(scaler, optimizer, *args, **options)
            happened = False

            def note(*_: object) -> None:
                nonlocal happened
                happened = True

            handle = optimizer.register_step_pre_hook(note)
            try:
                result = original(scaler, optimizer, *args, **options)
            finally:
                handle.remove()
            if not happened:
                for listener in self._known:
                    listener.skipped(optimizer)
            return result

        return step


def _value(root: Tensor, weight: Tensor | None) -> Tensor:
    """Return the number whose gradient is taken."""
    detached = root.detach()
    return (detached if weight is None else detached * weight.detach()).sum()


LOSS_TAP = LossTap()
"""The one of this process: `torch.autograd.backward` is one function for all, so whoever replaces it must be one."""
