"""Processes that train, started once and kept while the interpreter lives."""

import atexit
import contextlib
import functools
import itertools
import multiprocessing
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator

from equipoise.core.progress import Listener, Progress
from equipoise.data.samples import Splits
from equipoise.fit.cohorts.parcel import Parcel, pack_splits
from equipoise.fit.cohorts.worker import READY, Data, Failed, Forget, Training

BEGIN = "import sys; sys.path[:] = sys.argv[2:]; from equipoise.fit.cohorts.worker import main; main(int(sys.argv[1]))"
"""What a new process runs: no file of the user's is imported again, so scripts need no `__main__` guard."""

HELD = 4
"""Data sets that a process keeps at most."""


class DiedError(Exception):
    """A process ended in the middle of a training."""


class Worker:
    """A process of its own that trains one member at a time; making one starts it, `ready` waits until it is up.

    The line to it is a pair of sockets that nobody else can reach.
    """

    def __init__(self) -> None:
        self._line, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", BEGIN, str(theirs.fileno()), *sys.path],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches this process only, which then decides
            )
        self._held: OrderedDict[int, int] = OrderedDict()

    @property
    def process(self) -> int:
        """Its number in the operating system."""
        return self._process.pid

    def ready(self) -> None:
        """Wait until it takes tasks.

        Raises:
            DiedError: It ended instead.
        """
        with self._watched():
            if self._line.recv() != READY:
                raise DiedError

    def train(self, training: Training, splits: Splits, on_progress: Listener) -> Parcel | Failed:
        """Return the outcome of a training; its data are sent unless they were before.

        Raises:
            DiedError: The process ended before the training did.
        """
        with self._watched():
            if training.data not in self._held:
                self._line.send(Data(number=training.data, parcel=pack_splits(splits)))
                self._held[training.data] = training.data
            self._held.move_to_end(training.data)
            if len(self._held) > HELD:
                self._line.send(Forget(self._held.popitem(last=False)[0]))
            self._line.send(training)
            while isinstance(message := self._line.recv(), Progress):
                on_progress(message)
            return message

    def forget(self) -> None:
        """Let it give back the memory of its data.

        Raises:
            DiedError: It is no more.
        """
        with self._watched():
            while self._held:
                self._line.send(Forget(self._held.popitem()[0]))

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it now; whoever waits for it hears a `DiedError`."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it and let go of the line."""
        self.kill()
        self._line.close()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as problem:
            raise DiedError(f"exit code {self._process.wait()}") from problem


class Pool:
    """Processes that wait for work."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        atexit.register(self.close)

    @property
    def idle(self) -> int:
        """How many wait for work."""
        return len(self._idle)

    def number(self) -> int:
        """Return a number for data that no other have."""
        return next(self._numbers)

    def take(self) -> Worker:
        """Return a process that is up, one that waits or a new one.

        Raises:
            DiedError: A new one did not come up.
        """
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive:
                    return worker
                worker.close()
        worker = Worker()
        try:
            worker.ready()
        except BaseException:
            worker.close()
            raise
        return worker

    def give_back(self, worker: Worker) -> None:
        """Let a process wait for more work, if it is alive."""
        try:
            worker.forget()
        except DiedError:
            worker.kill()
        if not worker.is_alive:
            worker.close()
            return
        with self._lock:
            self._idle.append(worker)

    def close(self) -> None:
        """End all that wait."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()


def pool() -> Pool:
    """Return the pool of this process; one that was forked off has its own."""
    return _pool_of(os.getpid())


@functools.cache
def _pool_of(_process: int) -> Pool:
    return Pool()


def can_start() -> bool:
    """Return whether this system lets a process hand an open line to another that it starts."""
    return os.name == "posix"
