"""Runs jobs in persistent processes of one thread each, and ends the process of a job that takes too long."""

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

Job = dict[str, Any]
Result = dict[str, Any]
Work = Callable[[Job], Result]

THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def _serve(work: Work, pipe: Connection) -> None:
    pipe.send("ready")
    while (job := pipe.recv()) is not None:
        try:
            result = work(job)
        except BaseException as problem:  # whatever a tool does, the benchmark goes on
            last = traceback.format_exc().strip().splitlines()[-6:]
            result = {"error": f"{type(problem).__name__}: {problem}"[:500], "traceback": last}
        pipe.send(result)


@dataclass(slots=True)
class _Worker:
    work: Work
    process: Any = None
    pipe: Any = None
    job: Job | None = None
    deadline: float = 0.0
    began: float = field(default=0.0)

    def give(self, job: Job) -> None:
        if self.process is None or not self.process.is_alive():
            context = multiprocessing.get_context("spawn")
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_serve, args=(self.work, theirs), daemon=True)
            self.process.start()
            theirs.close()
            self.pipe.recv()  # ready: what it takes to start is nobody's time
        self.job, self.began = job, time.monotonic()
        self.deadline = self.began + job["patience_s"]
        self.pipe.send(job)

    def taken(self) -> tuple[Job, Result] | None:
        """Return the job with its result once there is one, or once its time is up or its process has died."""
        assert self.job is not None
        result: Result | None = None
        if self.pipe.poll():
            try:
                result = self.pipe.recv()
            except EOFError:
                self.end()
                result = {"error": "the process died"}
        elif time.monotonic() > self.deadline:
            self.end()
            result = {"error": f"no verdict after {self.job['patience_s']:.0f} s"}
        if result is None:
            return None
        job, self.job = self.job, None
        result.setdefault("seconds", time.monotonic() - self.began)
        return job, result

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
            self.process = None


def results(jobs: list[Job], work: Work, workers: int) -> Iterator[tuple[Job, Result]]:
    """Yield every job with its result, as they come.

    Args:
        jobs: Each with `patience_s`, wall-clock seconds after which it is given up.
        work: A function of a module, called in another process.
        workers: How many processes, at least 1.
    """
    for name in THREAD_LIMITS:
        os.environ[name] = "1"
    waiting = list(reversed(jobs))
    crew = [_Worker(work) for _ in range(max(1, min(workers, len(jobs))))]
    try:
        while waiting or any(one.job is not None for one in crew):
            for one in crew:
                if one.job is None and waiting:
                    one.give(waiting.pop())
            busy = [one for one in crew if one.job is not None]
            wait([one.pipe for one in busy], timeout=0.5)
            for one in busy:
                done = one.taken()
                if done is not None:
                    yield done
    finally:
        for one in crew:
            one.end()
