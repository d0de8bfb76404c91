"""What a rank does for a run whose first rank writes the folder, examines and speaks."""

from pathlib import Path
from typing import Any

from equipoise.core.plan import Plan, read_plan
from equipoise.data.load import load
from equipoise.data.samples import Splits
from equipoise.fit.fit import fit
from equipoise.fit.way import Way
from equipoise.run.folder import RunFolder, RunState, open_folder
from equipoise.run.what import resolve


def take_part(
    what: Any,
    way: Way,
    *,
    target: str | None = None,
    task: str | None = None,
    network: str | None = None,
    seed: int | None = None,
    plain: bool = False,
    train: bool = True,
    trust: bool = False,
) -> None:
    """Read the same data as the first rank, which calls `run`, and train with it.

    Args:
        what: Whatever `resolve` takes.
        way: The ranks.
        target: Column or array to predict, for bare data.
        task: The task, for bare data.
        network: A network to use instead of the plan's.
        seed: Replaces the plan's seed.
        plain: See `run`.
        train: Whether there is anything to train.
        trust: Whether files that may run code when read are allowed.

    Raises:
        ValueError: See `run`.
    """
    resolved = resolve(what, target=target, task=task, network=network, seed=seed)
    plan = resolved.plan.replace(recipe__tuned=False) if plain else resolved.plan
    folder: RunFolder = way.together.agree(RunFolder(Path()))
    if train:
        _train(plan, resolved.splits, folder, way, resume=False, trust=trust)


def take_part_again(path: Path, way: Way, *, trust: bool = False) -> None:
    """Go on training with the first rank, which calls `resume`.

    Args:
        path: The run folder, on a disk that all ranks see.
        way: The ranks.
        trust: Whether files that may run code when read are allowed.

    Raises:
        FileNotFoundError: There is no run in that folder.
    """
    folder = open_folder(path)
    state = RunState.load(folder.state)
    if state.status != "finished" and state.train:
        _train(read_plan(folder.plan), None, folder, way, resume=True, trust=trust or state.trust)


def _train(plan: Plan, splits: Splits | None, folder: RunFolder, way: Way, *, resume: bool, trust: bool) -> None:
    splits = load(plan.data, plan.seed) if splits is None else splits  # without a workspace: the first one's is its own
    fit(plan, plan.seed, splits=splits, folder=folder.path, resume=resume, trust=trust, on=way)
