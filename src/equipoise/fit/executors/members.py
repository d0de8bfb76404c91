"""Members of a cohort, trained by an executor."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, Progress
from equipoise.core.stop import StopReason
from equipoise.fit.cohorts.crew import Assignment
from equipoise.fit.cohorts.parcel import Parcel, can_travel, pack_fit, pack_splits, unpack_fit, unpack_splits
from equipoise.fit.execution import choose_device
from equipoise.fit.executors.executor import Executor, Needs
from equipoise.fit.fit import fit
from equipoise.fit.fitted import Fit


@dataclass(slots=True, eq=False)
class Spread:
    """Members that an executor trains, in the place of a `Crew`.

    Attributes:
        assignments: What is to be trained.
        threads: Torch threads of each training at most.
        executor: Who trains.
        on_progress: Told how many are trained.
        fits: What is trained so far.
    """

    assignments: Sequence[Assignment]
    threads: int
    executor: Executor
    on_progress: Listener
    fits: list[Fit | None] = field(default_factory=list)

    def train(self) -> None:
        """Train all; `fits` holds what is trained, also after an error.

        Raises:
            KeyboardInterrupt: It was interrupted.
            Exception: What the first training that failed raised.
        """
        self.fits = [None] * len(self.assignments)
        shared = {one.data: self.executor.share(pack_splits(one.splits)) for one in self._distinct()}
        plans = [_on_device(one.plan) for one in self.assignments]
        tasks = [
            (plan, one.seed, shared[one.data], self.threads, one.folder, one.trust)
            for plan, one in zip(plans, self.assignments, strict=True)
        ]
        needs = Needs(cpus=self.threads, gpus=int(any(plan.recipe.device == "cuda" for plan in plans)))
        self.executor.map(train_member, tasks, needs=needs, on_done=self._take)

    def _distinct(self) -> list[Assignment]:
        return list({one.data: one for one in self.assignments}.values())

    def _take(self, position: int, parcel: Parcel) -> None:
        one = self.assignments[position]
        self.fits[position] = unpack_fit(parcel, one.plan, one.seed, one.splits, trust=one.trust)
        done = sum(fit is not None for fit in self.fits)
        note = f"{done} trained on {self.executor.name}"
        self.on_progress(Progress("cohort", done, len(self.assignments), note))


def _on_device(plan: Plan) -> Plan:
    """Return a plan that names the device that it would take here, so that other machines take no other."""
    return plan.replace(recipe__device=choose_device(plan.recipe.device)[0].type)


def can_spread(assignments: Sequence[Assignment]) -> bool:
    """Return whether members can be trained elsewhere: streamed data stay where they are."""
    return all(can_travel(one.splits) for one in assignments)


def train_member(plan: Plan, seed: int, data: Any, threads: int, folder: Path | None, trust: bool) -> Parcel:
    """Train one member where this is called; the task of `Spread`.

    Args:
        plan: The plan.
        seed: Of the fit.
        data: Its data as a parcel.
        threads: Torch threads at most.
        folder: Where checkpoints go if this machine sees that folder; what is there is gone on with.
        trust: Whether a foreign network's file may be unpickled.

    Raises:
        ValueError: See `fit`.
    """
    reached = folder if folder is not None and folder.parent.is_dir() else None
    splits = unpack_splits(data)
    with _threads(threads):
        done = fit(plan, seed, splits=splits, folder=reached, resume=reached is not None, trust=trust)
    if done.stopped is StopReason.INTERRUPTED:
        raise KeyboardInterrupt
    return pack_fit(done, splits)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
