"""Everything that moves while a network is trained, and how it is put into a checkpoint and back."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from equipoise.core.stop import StopReason
from equipoise.fit.averaging import Average, estimate_statistics
from equipoise.fit.checkpoint import Checkpoint
from equipoise.fit.feed import Feed
from equipoise.fit.governor import Governor
from equipoise.fit.optimizers import Stepper
from equipoise.fit.recorder import Recorder
from equipoise.fit.schedules import Plateau
from equipoise.fit.stopping import Kept, Patience
from equipoise.networks.network import Network
from equipoise.vitals.history import History


@dataclass(slots=True, eq=False)
class State:
    """A training in the middle of it.

    Attributes:
        network: The network that is trained, on its device.
        stepper: The optimiser.
        average: The average of the weights, if any.
        recorder: Losses and the history.
        draws: Generator of augmentation and of noise for a generator, on the device.
        noise: Generator of dropout, on the CPU: torch's global one unless the lane has its own.
        kept: The network to be returned if training ended now.
        governor: Watches the training and mends it, if the recipe says so.
        patience: What early stopping has seen.
        plateau: What the `plateau` schedule has seen.
        epoch: Epochs run.
        round: Rounds run.
        batch: Batches done in the present round.
        seconds: Wall-clock time of the training, over all resumes.
        budget_used: The same since the last time the budget ran out.
        stopped: Why the training stopped; None while it goes on.
        signs: Brings vital signs that a watch still holds into the history, before that is written.
        due: When clock and loss are looked at next, as `time.perf_counter` counts; rounds may be much shorter.
    """

    network: Network
    stepper: Stepper
    average: Average | None
    recorder: Recorder
    draws: torch.Generator
    kept: Kept
    noise: torch.Generator = field(default_factory=lambda: torch.default_generator)
    governor: Governor | None = None
    patience: Patience = field(default_factory=Patience)
    plateau: Plateau = field(default_factory=Plateau)
    epoch: int = 0
    round: int = 0
    batch: int = 0
    seconds: float = 0.0
    budget_used: float = 0.0
    stopped: StopReason | None = None
    signs: Callable[[], object] | None = None
    due: float = 0.0
    _clock: float = 0.0

    def resume_budget(self) -> None:
        """Give a training whose time ran out a fresh budget."""
        if self.stopped is StopReason.TIME_BUDGET:
            self.budget_used = 0.0
        self.stopped = None

    def start_clock(self) -> None:
        """Count time from now on."""
        self._clock = time.perf_counter()

    def tick(self) -> None:
        """Bring `seconds` and `budget_used` up to date."""
        now = time.perf_counter()
        self.seconds += now - self._clock
        self.budget_used += now - self._clock
        self._clock = now

    def is_over_budget(self, max_seconds: float | None) -> bool:
        """Return whether the wall-clock budget is used up, as of the last tick."""
        return max_seconds is not None and self.budget_used >= max_seconds

    @contextlib.contextmanager
    def averaged(self, feed: Feed) -> Iterator[None]:
        """Hold the weights that would be kept: the average where there is one, with its own batch-norm statistics."""
        if self.average is not None:
            with self.average.in_place(self.network, feed.some()):
                yield
            return
        if self.stepper.averages:  # schedule-free: statistics were gathered at other weights
            estimate_statistics(self.network, feed.some())
        yield

    def checkpoint(self, described: dict[str, Any]) -> Checkpoint:
        """Return everything as tensors and plain values; `described` says what training it belongs to."""
        if self.signs is not None:
            self.signs()
        governor = self.governor
        if governor is not None:
            governor.hear(*self.recorder.news())
        self.recorder.read()
        optimizer, numbers = self.stepper.state()
        weights = self.network.state_dict()
        tensors = {f"network.{name}": value for name, value in weights.items() if isinstance(value, Tensor)}
        tensors |= {f"kept.{name}": value for name, value in self.kept.tensors.items()}
        tensors |= {f"optimizer.{name}": value for name, value in optimizer.items()}
        tensors |= {f"random.{name}": value for name, value in _random_states(self.noise, self.draws).items()}
        average = self.average
        if average is not None:
            tensors |= {f"average.{i}": value for i, value in enumerate(average.values)}
        governed: dict[str, Any] | None = None
        if governor is not None:
            snapshots, governed = governor.state()
            tensors |= {f"governor.{name}": value for name, value in snapshots.items()}
        values = {
            **described,
            "governor": governed,
            "optimizer": numbers,
            "averaged": average.count if average is not None else 0,
            "recorder": [self.recorder.step, self.recorder.total, self.recorder.count],
            "history": self.recorder.history.state(),
            "kept": [self.kept.epoch, self.kept.score, self.kept.loss],
            "patience": dataclasses.astuple(self.patience),
            "plateau": dataclasses.astuple(self.plateau),
            "position": [self.epoch, self.round, self.batch],
            "time": [self.seconds, self.budget_used],
            "stopped": self.stopped,
        }
        return Checkpoint(tensors, values)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over everything from a checkpoint."""
        tensors, values = checkpoint.tensors, checkpoint.values
        put(self.network, _under(tensors, "network."))
        self.stepper.load(_under(tensors, "optimizer."), values["optimizer"])
        _set_random_states(self.noise, self.draws, _under(tensors, "random."))
        self.kept = Kept(_under(tensors, "kept."), *values["kept"])
        if self.average is not None:
            self.average.count = values["averaged"]
            saved = _under(tensors, "average.")
            self.average.values = [
                torch.empty_like(parameter, requires_grad=False).copy_(saved[str(i)])
                for i, parameter in enumerate(self.average.parameters[: len(saved)])
            ]
        empty = torch.zeros_like(self.recorder.losses)
        self.recorder = Recorder(History.restored(values["history"]), empty, together=self.recorder.together)
        if self.governor is not None:
            self.governor.load(_under(tensors, "governor."), values["governor"])
            self.recorder.listened, self.recorder.forgiving = True, bool(self.governor.acts)
        self.recorder.step, self.recorder.total, self.recorder.count = values["recorder"]
        self.patience, self.plateau = Patience(*values["patience"]), Plateau(*values["plateau"])
        self.epoch, self.round, self.batch = values["position"]
        self.seconds, self.budget_used = values["time"]
        self.stopped = StopReason(values["stopped"]) if values["stopped"] else None


def seed_everything(
    seed: int, draws: torch.Generator, draws_seed: int, noise: torch.Generator = torch.default_generator
) -> None:
    """Seed `noise`, the global generator of the device of `draws` where that is not the CPU, and `draws` itself."""
    noise.manual_seed(seed)
    if draws.device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif draws.device.type == "mps":
        torch.mps.manual_seed(seed)
    draws.manual_seed(draws_seed)


@torch.no_grad()
def put(network: Network, tensors: dict[str, Tensor]) -> None:
    """Copy weights and buffers by name into a network, keeping device and memory layout."""
    for name, value in network.state_dict().items():
        if isinstance(value, Tensor):
            value.copy_(tensors[name])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _random_states(noise: torch.Generator, draws: torch.Generator) -> dict[str, Tensor]:
    states = {"cpu": noise.get_state(), "draws": draws.get_state()}
    if draws.device.type == "cuda":
        states["device"] = torch.cuda.get_rng_state()
    elif draws.device.type == "mps":
        states["device"] = torch.mps.get_rng_state()
    return states


def _set_random_states(noise: torch.Generator, draws: torch.Generator, states: dict[str, Tensor]) -> None:
    noise.set_state(states["cpu"])
    draws.set_state(states["draws"])
    if draws.device.type == "cuda":
        torch.cuda.set_rng_state(states["device"])
    elif draws.device.type == "mps":
        torch.mps.set_rng_state(states["device"])
