"""In which way the members of a cohort can be trained on this machine, and how many at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from equipoise.core.recipe import Recipe
from equipoise.data.memory import free_bytes
from equipoise.data.samples import Splits, TensorSamples
from equipoise.fit.cohorts.parcel import PARTS, can_travel
from equipoise.fit.cohorts.pool import can_start
from equipoise.fit.execution import choose_device

Lane = Literal["auto", "sequential", "threads", "processes"]

COPIES = 4
"""A process takes so many times the size of its data: raw, sent, as features, and a batch on its way."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How many train at once.

    Attributes:
        beside: Threads of this process that train.
        workers: Processes, this one included.
        threads: Torch threads of each training.
        reason: Why so many.
    """

    beside: int
    workers: int
    threads: int
    reason: str


def lay_out_workers(
    recipes: Sequence[Recipe], splits: Sequence[Splits], lane: Lane, workers: int | None = None
) -> Layout:
    """Return how many processes may train members at once.

    Args:
        recipes: Of the members; may say device and threads.
        splits: Their data.
        lane: `sequential` asks for one at a time, `threads` for one process, `processes` for several.
        workers: So many at once; without it, one a core that torch may use.

    Raises:
        ValueError: An unknown lane, `processes` where only one process can train, or fewer than one worker.
    """
    if lane not in get_args(Lane):
        raise ValueError(f"lane: got {lane!r}; expected one of {', '.join(get_args(Lane))}. Use lane='auto'.")
    cores = torch.get_num_threads()
    most, reason = _most(recipes, splits, cores if workers is None else workers)
    if workers is not None and workers < 1:
        raise ValueError(f"workers: got {workers}; expected at least 1. Leave it out to take one a core.")
    if lane == "sequential":
        return Layout(1, 1, cores, "sequential: asked for")
    if most == 1:
        if lane != "auto":
            raise ValueError(
                f"lane: got {lane!r} where {reason}; expected a cohort that can be trained side by side. Use "
                "lane='auto'."
            )
        return Layout(1, 1, cores, f"sequential: {reason}")
    wanted = max((recipe.threads or 0 for recipe in recipes), default=0)
    threads = wanted or max(1, cores // most)
    beside = 1 if lane == "processes" or threads > 1 else most
    return Layout(beside, 1 if lane == "threads" else most, threads, reason)


def _most(recipes: Sequence[Recipe], splits: Sequence[Splits], cores: int) -> tuple[int, str]:
    if len(recipes) == 1:
        return 1, "there is one member only"
    devices = {choose_device(recipe.device)[0].type for recipe in recipes}
    if devices != {"cpu"}:
        return 1, f"one {max(devices - {'cpu'})} is shared by all"
    if not can_start():
        return 1, "this system cannot hand an open line to another process"
    if not all(can_travel(one) for one in splits):
        return 1, "data that are streamed stay where they are"
    room = free_bytes() // 2 // max(1, COPIES * max(_size(one) for one in splits))
    wanted = max((recipe.threads or 1 for recipe in recipes), default=1)
    by = {"members": len(recipes), "cores": max(1, cores // wanted), "memory": max(1, room)}
    least = min(by, key=lambda name: by[name])
    return by[least], f"as many as {least} allow: {by[least]}"


def _size(splits: Splits) -> int:
    parts = [splits.part(part) for part in PARTS]
    return sum(part.inputs.nbytes + part.targets.nbytes for part in parts if isinstance(part, TensorSamples))
