"""Trainings side by side in the threads of one process, each with the bits that it has alone."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from torch import Tensor

from equipoise.core.plan import Plan
from equipoise.fit.fitted import Fit
from equipoise.fit.job import Job
from equipoise.fit.together import Alone
from equipoise.fit.way import OneProcess, Way
from equipoise.networks.network import Network


@dataclass(frozen=True, slots=True)
class Stoppable(Alone):
    """One process with others beside it, which may be told to stop."""

    told: threading.Event

    def is_due(self, due: float) -> bool:
        """Return whether that moment has come.

        Raises:
            KeyboardInterrupt: It was told to stop.
        """
        if self.told.is_set():
            raise KeyboardInterrupt
        return Alone.is_due(self, due)


@dataclass(frozen=True, slots=True)
class SideBySide(OneProcess):
    """The way of a training that has others beside it in this process.

    Everything but the steps (building the network, timing lanes, finishing) is done by one training at a time, since it
    draws from torch's global generator or puts it back. The steps of the plan lane touch nothing global and leave the
    lock of the interpreter alone, so they run at once; those of the eager lane run one training at a time as well.
    """

    told: threading.Event = field(default_factory=threading.Event)
    turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def together(self) -> Alone:
        """How it hears that it is to stop."""
        return Stoppable(self.told)

    @contextlib.contextmanager
    def doing(self, job: Job, network: Network, plan: Plan, weights: Tensor | None) -> Iterator[Job]:
        """Let others have their turn while the steps are taken, if they may."""
        del network, plan, weights
        if not job.independent:
            yield job
            return
        self.turn.release()
        try:
            yield job
        finally:
            self.turn.acquire()


def side_by_side(trainings: Sequence[Callable[[Way], Fit]], threads: int) -> list[Fit]:
    """Return the fits of trainings that run at once, in order; each has the bits that it has alone.

    After Ctrl-C each training ends as a single one does, with what it kept; those that had not begun are begun and
    ended at once.

    Args:
        trainings: Calls of `fit` with the way that they are given as `on`; of one torch thread each.
        threads: How many at once.

    Raises:
        Exception: What the first training that failed raised, when the others have ended.
    """
    way = SideBySide()

    def in_turn(training: Callable[[Way], Fit]) -> Fit:
        with way.turn:
            return training(way)

    with ThreadPoolExecutor(threads, thread_name_prefix="equipoise-side-by-side") as pool:
        futures: list[Future[Fit]] = [pool.submit(in_turn, training) for training in trainings]
        try:
            return [future.result() for future in futures]
        except KeyboardInterrupt:
            way.told.set()
            return [future.result() for future in futures]
        except BaseException:
            way.told.set()
            raise
