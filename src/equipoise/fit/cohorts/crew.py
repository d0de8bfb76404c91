"""Members of a cohort trained side by side: in threads of this process, and in others as soon as they pay."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, Progress
from equipoise.core.stop import StopReason
from equipoise.data.samples import Splits
from equipoise.fit.cohorts.parcel import Parcel, unpack_fit
from equipoise.fit.cohorts.pool import DiedError, Worker, pool
from equipoise.fit.cohorts.worker import Failed, Training
from equipoise.fit.fit import fit
from equipoise.fit.fitted import Fit
from equipoise.fit.job import Job
from equipoise.fit.lanes.side_by_side import SideBySide
from equipoise.fit.stopping import round_epochs
from equipoise.networks.network import Network

ATTEMPTS = 3
"""How often a member is begun whose process dies under it."""

START_S = 3.0
"""Seconds until a new process trains: an interpreter that imports torch."""

HAND_OVER_S = 0.05
"""The same for a process that waits: data go there, a network comes back."""

LOCKED_S = 0.0015
"""Seconds of a round in which a training of the plan lane holds the lock of the interpreter."""

WORTH = 2.0
"""Other processes are asked when they are expected to save so many times what they cost."""


@dataclass(frozen=True, slots=True)
class Watched(SideBySide):
    """The way of the trainings in this process, which says when one of them lets others beside it.

    Attributes:
        lets: Set as soon as one does.
    """

    lets: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def doing(self, job: Job, network: Network, plan: Plan, weights: Tensor | None) -> Iterator[Job]:
        """See `SideBySide`."""
        if job.independent:
            self.lets.set()
        with SideBySide.doing(self, job, network, plan, weights) as mine:
            yield mine


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One training, ready to begin.

    Attributes:
        plan, seed, splits: What is trained on what.
        data: Number of the data: the same for the same splits.
        folder: Where checkpoints go, if anywhere; what is there is gone on with.
        trust: Whether a foreign network's file may be unpickled.
    """

    plan: Plan
    seed: int
    splits: Splits
    data: int
    folder: Path | None
    trust: bool

    @property
    def epochs_a_round(self) -> int:
        """Epochs after which a training looks up."""
        recipe = self.plan.recipe
        batches = 1 if recipe.optimizer == "gradient-descent" else -(-len(self.splits.train) // recipe.batch_size)
        return round_epochs(recipe, -(-batches // recipe.accumulate))


@dataclass(slots=True, eq=False)
class Crew:
    """Threads of this process, and other processes, training one list of members.

    Threads of this process begin at once. They train at the same time where a training lets others beside it, as those
    of the plan lane do, else one at a time. Other processes are asked where threads do not get along, as soon as what
    is left would take longer than it takes to start them. What they bring is put together at the end, by the thread
    that began: building a network draws for a moment from the global generator, from which a training draws, too.

    Attributes:
        assignments: What is to be trained.
        threads: Torch threads of each training at most.
        beside: Threads of this process that train.
        helpers: Other processes that may be asked for help.
        at_once: Whether they are asked without waiting to see that they pay.
        on_progress: Told how many are trained.
        fits: What is trained so far.
        trainers: Who trained: numbers of other processes, and of threads of this one as 0, -1, ...
        expected_s: Seconds of one member as its first rounds have shown, or as it took.
        round_s: Seconds of processor time of one of its rounds.
        died: Processes that ended in the middle of a training.
    """

    assignments: Sequence[Assignment]
    threads: int
    beside: int
    helpers: int
    at_once: bool
    on_progress: Listener
    fits: list[Fit | None] = field(default_factory=list)
    trainers: set[int] = field(default_factory=set)
    expected_s: float = 0.0
    round_s: float = 0.0
    died: int = 0
    _way: Watched = field(default_factory=Watched)
    _next: int = 0
    _parcels: dict[int, Parcel] = field(default_factory=dict)
    _problem: BaseException | None = None
    _asked: list[threading.Thread] = field(default_factory=list)
    _busy: dict[int, Worker] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def asked(self) -> bool:
        """Whether other processes were asked for help."""
        return bool(self._asked)

    @property
    def with_helpers_s(self) -> float:
        """Seconds that all members were expected to take with the help of processes that have to be started."""
        return START_S + self.expected_s * len(self.assignments) / (1 + self.helpers)

    def train(self) -> None:
        """Train all; `fits` holds what is trained, also after an error.

        Raises:
            KeyboardInterrupt: It was interrupted.
            BaseException: What the first training that failed raised.
        """
        self.fits = [None] * len(self.assignments)
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        more = [threading.Thread(target=self._beside, args=(-number,)) for number in range(1, self.beside)]
        try:
            if self.at_once:
                self._ask()
            for thread in more:
                thread.start()
            self._train_all(0)
            for thread in (*more, *self._asked):
                thread.join()
        except BaseException as problem:
            self._give_up(problem)
            for thread in (*more, *self._asked):
                if thread.ident is not None:
                    thread.join()
        finally:
            torch.set_num_threads(before)
        for position, parcel in self._parcels.items():
            one = self.assignments[position]
            self.fits[position] = unpack_fit(parcel, one.plan, one.seed, one.splits, trust=one.trust)
        if self._problem is not None:
            raise self._problem

    def _beside(self, number: int) -> None:
        """Train members beside the first thread of this process; the work of a thread."""
        try:
            torch.set_num_threads(self.threads)
            self._train_all(number)
        except BaseException as problem:
            self._give_up(problem)

    def _train_all(self, number: int) -> None:
        """Train members in this thread until there are no more, or until other processes do it better."""
        while True:
            with self._way.turn:
                if number and self._asked:
                    return
                position = self._take()
                if position is None:
                    return
                self._train_here(position, number)

    def _take(self) -> int | None:
        """Return the next member to be trained; None when there is none."""
        with self._lock:
            if self._next == len(self.assignments) or self._problem is not None:
                return None
            self._next += 1
            return self._next - 1

    def _give_up(self, problem: BaseException) -> None:
        """Take note of the first problem, and end what other processes are doing."""
        with self._lock:
            self._problem = self._problem or problem
            self._way.told.set()
            for worker in self._busy.values():
                worker.kill()

    def _train_here(self, position: int, number: int) -> None:
        one, start, mine = self.assignments[position], time.perf_counter(), time.thread_time()

        def listen(progress: Progress) -> None:
            self._say(position, progress)
            if self.helpers and not self._asked and progress.phase == "fit" and progress.done:
                elapsed = time.perf_counter() - start
                self.expected_s = elapsed if progress.finished else elapsed * progress.total / progress.done
                self.round_s = (time.thread_time() - mine) / progress.done * one.epochs_a_round
                self._consider()

        done = fit(
            one.plan,
            one.seed,
            splits=one.splits,
            folder=one.folder,
            resume=one.folder is not None,
            trust=one.trust,
            on=self._way,
            on_progress=listen,
        )
        if done.stopped is StopReason.INTERRUPTED:
            if self._problem is None:
                raise KeyboardInterrupt
            return
        self.fits[position] = done
        self.trainers.add(number)
        self._say(position, None)

    def _consider(self) -> None:
        """Ask other processes when threads do not get along and what is left takes long enough."""
        with self._lock:
            if self._asked or (self._way.lets.is_set() and self.round_s >= LOCKED_S * self.beside > LOCKED_S):
                return
            left = len(self.assignments) - self._next
            crew = 1 + min(self.helpers, left)
            saved = left * self.expected_s * (1 - 1 / crew)
            if saved > WORTH * (HAND_OVER_S if pool().idle else START_S):
                self._ask()

    def _ask(self) -> None:
        for number in range(1, 1 + min(self.helpers, len(self.assignments) - self._next)):
            thread = threading.Thread(target=self._help, args=(number,), name=f"equipoise-cohort-{number}")
            self._asked.append(thread)
            thread.start()

    def _help(self, number: int) -> None:
        """Have members trained by another process until there are no more; the work of a thread."""
        try:
            worker = self._hired(number)
            while worker is not None and (position := self._take()) is not None:
                worker = self._train_there(position, number, worker)
            self._dismiss(number, worker)
        except BaseException as problem:
            self._give_up(problem)

    def _hired(self, number: int) -> Worker | None:
        """Return a process that is up, or None when there is no more to do."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                worker = pool().take()
            except DiedError as problem:
                if attempt == ATTEMPTS:
                    raise RuntimeError(
                        f"got {_in_words(attempt)} processes that ended before they could train ({problem}); "
                        "expected one that runs. Train with lane='sequential', or see what it wrote to stderr."
                    ) from problem
                continue
            with self._lock:
                if self._problem is None:
                    self._busy[number] = worker
                    return worker
            pool().give_back(worker)
            return None
        return None

    def _train_there(self, position: int, number: int, worker: Worker) -> Worker | None:
        """Train a member in another process, anew where that dies; return the process that is alive at the end."""
        one = self.assignments[position]
        training = Training(
            plan=one.plan, seed=one.seed, data=one.data, threads=self.threads, folder=one.folder, trust=one.trust
        )
        for attempt in range(1, ATTEMPTS + 1):
            try:
                outcome = worker.train(training, one.splits, lambda progress: self._say(position, progress))
            except DiedError as problem:
                self._dismiss(number, worker)
                if self._problem is not None:
                    return None
                self.died += 1
                if attempt == ATTEMPTS:
                    raise RuntimeError(
                        f"got {_in_words(attempt)} processes that ended while they trained seed {one.seed} "
                        f"({problem}); expected it to be trained. If memory ran out, train with lane='sequential'."
                    ) from problem
                hired = self._hired(number)
                if hired is None:
                    return None
                worker = hired
                continue
            if isinstance(outcome, Failed):
                self._dismiss(number, worker)  # it is well
                raise _raised(outcome, one.seed)
            with self._lock:
                self._parcels[position] = outcome
                self.trainers.add(worker.process)
            self._say(position, None)
            return worker
        return None

    def _dismiss(self, number: int, worker: Worker | None) -> None:
        with self._lock:
            self._busy.pop(number, None)
        if worker is not None:
            pool().give_back(worker)

    def _say(self, position: int, progress: Progress | None) -> None:
        """Pass on how far a training is; without a message, that one more is done."""
        with self._lock:
            done = sum(one is not None for one in self.fits) + len(self._parcels)
            note = f"{done} trained"
            if progress is not None:
                if progress.phase != "fit" or progress.finished:
                    return
                note = f"seed {self.assignments[position].seed}: {progress.done} of {progress.total}, {progress.note}"
            self.on_progress(Progress("cohort", done, len(self.assignments), note))


def _in_words(count: int) -> str:
    """Return a small number in words."""
    return {1: "one", 2: "two", 3: "three"}.get(count, str(count))


def _raised(failed: Failed, seed: int) -> Exception:
    kinds: dict[str, type[Exception]] = {"ValueError": ValueError, "OSError": OSError}
    if failed.kind in kinds:
        return kinds[failed.kind](failed.said)
    return RuntimeError(
        f"got {failed.kind} in the process that trained seed {seed}; expected a training. See below, and train that "
        f"seed alone to look closer: fit(plan, {seed}).\n{failed.said}"
    )
