"""The untreated arm that all trials on one plan share."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, Progress, silent
from equipoise.fit.cohort import Member, fit_members
from equipoise.fit.fitted import Fit

PROBED = 2
"""Trainings that show how long one takes, a core each on a small machine."""


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """Trainings of a plan.

    Attributes:
        plan: The plan.
        fits: The networks, by seed.
        each_s: Wall-clock seconds of a training, those beside it counted in.
    """

    plan: Plan
    fits: dict[int, Fit]
    each_s: float


def train_arm(
    plan: Plan,
    seeds: Sequence[int],
    *,
    begun: Arm | None = None,
    known_s: float = 0.0,
    data: Any = None,
    trust: bool = False,
    folder: Path | None = None,
    on_progress: Listener = silent,
) -> Arm:
    """Return the trainings of a plan with some seeds.

    Args:
        plan: The plan.
        seeds: The seeds.
        begun: Trainings of the plan that are there already.
        known_s: Seconds of a training, where a course that was cut off has measured them: what it trained is read from
            the folder in no time. 0 where that is not known.
        data: For a plan that was made from data in Python: the same data again.
        trust: Whether a foreign network's file may be unpickled.
        folder: Where they are kept, so that what was cut off and is asked for again is not repeated.
        on_progress: Told how far it is.

    Raises:
        KeyboardInterrupt: A training was interrupted.
        ValueError: The plan cannot be trained.
    """
    there = {} if begun is None else begun.fits
    wanted = [seed for seed in seeds if seed not in there]
    if begun is not None and not wanted:
        return begun
    where = None if folder is None else folder / f"seeds-from-{wanted[0]}"
    known_s = known_s if where is not None and where.is_dir() else 0.0
    began = time.monotonic()
    cohort = fit_members(
        [Member(plan=plan, seed=seed) for seed in wanted],
        data=data,
        trust=trust,
        folder=where,
        resume=where is not None,
        on_progress=lambda progress: on_progress(
            Progress("treat", progress.done, progress.total, f"untreated: {progress.note}")
        ),
    )
    fits = {one.seed: one for one in cohort.members}
    return Arm(plan, there | fits, known_s or (time.monotonic() - began) / len(wanted))


def within(folder: Path | None, name: str) -> Path | None:
    """Return a folder within one, where there is one."""
    return None if folder is None else folder / name
