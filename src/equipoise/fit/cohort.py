"""Many networks that differ in seed, data or a value of the recipe, trained as one."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from equipoise.core.data_plan import GivenData, TrainingPart
from equipoise.core.estimate import Estimate
from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, Progress, silent
from equipoise.core.record import Number, Record
from equipoise.core.stop import StopReason
from equipoise.data.samples import Splits
from equipoise.fit.cohorts.crew import Assignment, Crew
from equipoise.fit.cohorts.folder import member_folders
from equipoise.fit.cohorts.lane import Lane, Layout, lay_out_workers
from equipoise.fit.cohorts.member import Member, part_of
from equipoise.fit.cohorts.pool import pool
from equipoise.fit.executors.executor import executor_in_force
from equipoise.fit.executors.members import Spread, can_spread
from equipoise.fit.fitted import Fit
from equipoise.fit.reading import read_splits
from equipoise.stats.intervals import mean

__all__ = ["Cohort", "CohortExecution", "InterruptedCohort", "Member", "fit_members"]


class CohortExecution(Record):
    """How a cohort was trained.

    Attributes:
        lane: `sequential`: one after another in one process; `processes`: side by side in several; `executor`: on the
            machines that `--on` named.
        reason: Why.
        processes: How many trained.
        threads: Torch threads of each training at most.
        timings: Seconds: `member` as the first rounds of the first member showed, and with it `sequential` and
            `processes` as they were expected when there was a choice.
        died: Processes that ended in the middle of a training, whose member was trained again.
    """

    lane: str
    reason: str
    beside: int = 1
    processes: int
    threads: int
    timings: dict[str, Number] = Field(default_factory=dict)
    died: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Networks trained together; each equals the one that would have been trained alone.

    With the same seed and the same number of threads the weights are the same bits.

    Attributes:
        members: The trained networks, in the order asked for.
        execution: How they were trained; None where nobody recorded it.
        seconds: Wall-clock time of all.
        asked: What each member was to be, in the same order.
        missing: What was asked for and not trained, because the cohort was interrupted.
    """

    members: tuple[Fit, ...]
    execution: CohortExecution | None = None
    seconds: float = 0.0
    asked: tuple[Member, ...] = ()
    missing: tuple[Member, ...] = ()

    @property
    def scores(self) -> tuple[float, ...]:
        """Validation score of each member, as it was kept; higher is better."""
        return tuple(one.score for one in self.members)

    @property
    def score(self) -> Estimate:
        """Mean validation score of the members that have one, with its interval over members.

        Raises:
            ValueError: No member has a finite score.
        """
        return mean(np.array([score for score in self.scores if math.isfinite(score)]))


class InterruptedCohort(KeyboardInterrupt):
    """Ctrl-C while a cohort was trained.

    Attributes:
        cohort: The members that were trained by then.
    """

    def __init__(self, cohort: Cohort) -> None:
        super().__init__()
        self.cohort = cohort


def fit_members(
    members: Sequence[Member],
    *,
    data: Any = None,
    trust: bool = False,
    folder: Path | None = None,
    resume: bool = False,
    lane: Lane = "auto",
    workers: int | None = None,
    on_progress: Listener = silent,
) -> Cohort:
    """Return the networks of a cohort, trained.

    Threads of this process begin. They train side by side where a training lets others beside it (the plan lane: dense
    networks), else one after another. Where they do not keep the cores busy, other processes are asked as soon as what
    is left would take longer than it takes these to start: a process a core, kept for the next cohort.

    Args:
        members: What each is.
        data: For plans that were made from data in Python: the same data again.
        trust: Whether a foreign network's file may be unpickled.
        folder: Where the checkpoints of all members are written; None writes nothing.
        resume: Go on with the cohort in `folder`; members that are trained are not trained again.
        lane: `sequential`, `threads` or `processes` to have it so, whatever it costs.
        workers: Trainings at once, at most; without it, as many as torch may use cores.
        on_progress: Told how many are trained.

    Raises:
        ValueError: There is no member, or one cannot be trained; see `fit`. The folder holds another cohort.
        RuntimeError: Processes died three times in a row under one member.
        InterruptedCohort: It was interrupted; the members trained by then come with it.
    """
    if not members:
        raise ValueError("got a cohort without members; expected at least one. Give a seed.")
    start = time.perf_counter()
    folders = member_folders(folder, members, resume=resume)
    read = _read(members, data, trust, on_progress)
    layout = lay_out_workers([one.plan.recipe for one in members], [splits for _, splits in read], lane, workers)
    assignments = [
        Assignment(plan=one.plan, seed=one.seed, splits=splits, data=number, folder=where, trust=trust)
        for one, (number, splits), where in zip(members, read, folders, strict=True)
    ]
    crew = _crew(assignments, layout, lane, on_progress)
    try:
        crew.train()
    except KeyboardInterrupt:
        cohort = _cohort(members, crew, layout, time.perf_counter() - start)
        note = f"{StopReason.INTERRUPTED.value}: {len(cohort.members)} of {len(members)} trained"
        on_progress(Progress("cohort", len(cohort.members), len(members), note, finished=True))
        raise InterruptedCohort(cohort) from None
    cohort = _cohort(members, crew, layout, time.perf_counter() - start)
    on_progress(Progress("cohort", len(members), len(members), _said(cohort), finished=True))
    return cohort


def _read(members: Sequence[Member], data: Any, trust: bool, on_progress: Listener) -> list[tuple[int, Splits]]:
    """Return the data of each member with a number; those that are the same are read once and have the same number."""
    known: dict[tuple[object, ...], tuple[int, Splits]] = {}
    read: list[tuple[int, Splits]] = []
    for member in members:
        origin: object = id(member.splits)
        if member.splits is None:
            origin = _origin(member.plan)
        key = (origin, member.seed if member.splits is None or member.subset < 1 else None, member.subset)
        if key not in known:
            splits = member.splits
            if splits is None:
                splits = read_splits(member.plan, member.seed, data=data, trust=trust, on_progress=on_progress)
            known[key] = pool().number(), part_of(splits, member.subset, member.seed)
        read.append(known[key])
    return read


def _origin(plan: Plan) -> tuple[object, ...]:
    """Return what of a plan, beside the seed of the fit, its data depend on."""
    if plan.data.training != TrainingPart():  # networks are trained for it
        return (plan.model_dump_json(),)
    return plan.data.model_dump_json(), plan.seed if isinstance(plan.data, GivenData) else None


def _crew(assignments: Sequence[Assignment], layout: Layout, lane: Lane, on_progress: Listener) -> Crew | Spread:
    """Return who trains: the executor in force, unless a lane was asked for or data must stay, else this machine."""
    executor = executor_in_force()
    if executor is not None and lane == "auto" and can_spread(assignments):
        return Spread(assignments, layout.threads, executor, on_progress)
    return Crew(
        assignments=assignments,
        threads=layout.threads,
        beside=layout.beside,
        helpers=layout.workers - 1,
        at_once=lane == "processes",
        on_progress=on_progress,
    )


def _execution(members: Sequence[Member], crew: Crew | Spread, layout: Layout) -> CohortExecution:
    if isinstance(crew, Spread):
        reason = f"spread over {crew.executor.name}, which was asked for"
        return CohortExecution(lane="executor", reason=reason, processes=crew.executor.slots, threads=layout.threads)
    here = [one for one in crew.trainers if one <= 0]
    lane = "processes" if crew.asked else "threads" if len(here) > 1 else "sequential"
    timings = {"member": crew.expected_s, "round": crew.round_s}
    if layout.workers > 1:
        timings |= {"sequential": crew.expected_s * len(members), "processes": crew.with_helpers_s}
    reason = layout.reason
    if lane == "sequential" and max(layout.workers, layout.beside) > 1:
        reason = "sequential: other processes would not have been up in time to be worth it"
    return CohortExecution(
        lane=lane,
        reason=reason,
        beside=max(1, len(here)),
        processes=max(1, len(crew.trainers) - len(here) + bool(here)),
        threads=layout.threads,
        timings=timings,
        died=crew.died,
    )


def _cohort(members: Sequence[Member], crew: Crew | Spread, layout: Layout, seconds: float) -> Cohort:
    together = [(member, fit) for member, fit in zip(members, crew.fits, strict=True) if fit is not None]
    execution = _execution(members, crew, layout)
    done = tuple(fit for _, fit in together)
    asked = tuple(member for member, _ in together)
    missing = tuple(member for member, fit in zip(members, crew.fits, strict=True) if fit is None)
    return Cohort(done, execution, seconds, asked, missing)


def _said(cohort: Cohort) -> str:
    execution = cohort.execution
    how = "one after another in"
    if execution is not None and execution.lane != "sequential":
        count = execution.processes if execution.lane == "processes" else execution.beside
        how = f"side by side in {count} {execution.lane} and"
    return f"{len(cohort.members)} networks {how} {cohort.seconds:.1f} s"
