"""The processes that train one network, one a device, and what they tell each other."""

import contextlib
import datetime
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor

from equipoise.fit.announcer import EVERY_S

PATIENCE = datetime.timedelta(minutes=30)
"""A rank that says nothing for so long counts as lost; one that dies is noticed at once."""

Value = TypeVar("Value")


@dataclass(slots=True)
class Pulse:
    """When the ranks next look at the clock: after as many steps as the first one takes in a while.

    Attributes:
        steps: Steps since the last look.
        wait: Steps between two looks.
        since: When the last look was, as `time.perf_counter` counts.
        interrupted: Whether this process was interrupted since.
    """

    steps: int = 0
    wait: int = 1
    since: float = field(default_factory=time.perf_counter)
    interrupted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """One of the processes that train a network together; each holds the data and takes its part of every batch.

    Attributes:
        number: Which one this is, from 0; the first writes and speaks.
        count: How many there are.
        local: How many of them share this machine.
        sharded: Whether weights, gradients and optimiser are divided among them (FSDP2), instead of held by each (DDP).
        device: Where this one computes.
    """

    number: int
    count: int
    local: int
    sharded: bool
    device: torch.device
    _pulse: Pulse = field(default_factory=Pulse)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.number == 0

    @property
    def apart(self) -> tuple[int, ...]:
        """Numbers that keep this rank's random draws apart from those of the first one."""
        return () if self.first else (self.number,)

    def agree(self, value: Value) -> Value:
        """Return what the first rank passes."""
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the ranks."""
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.count

    def wait(self) -> None:
        """Wait until every rank has come here."""
        distributed.barrier()

    def is_due(self, due: float) -> bool:  # noqa: ARG002 - each rank has its own clock; the first one's decides
        """Return whether it is time to look, after the same step on every rank.

        Raises:
            KeyboardInterrupt: One of the ranks was interrupted.
        """
        pulse = self._pulse
        pulse.steps += 1
        if pulse.steps < pulse.wait:
            return False
        now = time.perf_counter()
        step_s = max(now - pulse.since, 1e-9) / pulse.steps
        wish = max(1, round(EVERY_S / step_s)) if self.first else 0
        told = torch.tensor([wish, int(pulse.interrupted)])
        distributed.all_reduce(told, distributed.ReduceOp.MAX)
        pulse.wait, interrupted = int(told[0]), bool(told[1])
        pulse.steps, pulse.since, pulse.interrupted = 0, now, False
        if interrupted:
            raise KeyboardInterrupt
        return True

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let an interruption end the training on all ranks after the same step."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(_signal: int, _frame: FrameType | None) -> None:
            self._pulse.interrupted = True

        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def launched() -> bool:
    """Return whether this process was started by `torchrun`."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextlib.contextmanager
def joined(*, sharded: bool = False) -> Iterator[Ranks]:
    """Join the other ranks that `torchrun` started; they part when this ends.

    With CUDA every rank takes the GPU of its local number and talks through NCCL, else through gloo.

    Args:
        sharded: Whether weights, gradients and optimiser are divided among the ranks.

    Raises:
        ValueError: This process was not started by `torchrun`, or there are fewer GPUs than ranks on this machine.
    """
    if not launched():
        raise ValueError(
            "got a process that torchrun did not start; expected one of its ranks. Start it so: "
            "torchrun --nproc-per-node 2 -m equipoise run digits"
        )
    local, here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    device = torch.device("cpu")
    if torch.cuda.is_available():
        if torch.cuda.device_count() < here:
            raise ValueError(
                f"got {here} ranks on a machine with {torch.cuda.device_count()} GPUs; expected at most one rank a "
                "GPU. Pass that many to --nproc-per-node, or hide the GPUs: CUDA_VISIBLE_DEVICES=."
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), here, sharded, device)
    finally:
        distributed.destroy_process_group()
