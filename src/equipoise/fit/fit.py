"""From a plan to a trained network."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import torch

from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, Progress, silent
from equipoise.core.stop import StopReason
from equipoise.data.samples import Splits
from equipoise.fit.birth import begin
from equipoise.fit.checkpoint import Checkpoint, Checkpoints
from equipoise.fit.ensemble import fit_ensemble
from equipoise.fit.execution import choose_execution, executing, lay_out, lay_out_kernels
from equipoise.fit.finish import finish
from equipoise.fit.fitted import Execution, Fit
from equipoise.fit.foundation import lay_foundation
from equipoise.fit.instrument import instrumented
from equipoise.fit.keeper import Keeper
from equipoise.fit.lanes.choose import choose_lane
from equipoise.fit.loop import train_network
from equipoise.fit.optimizers import build_stepper
from equipoise.fit.prepare import check_plan, class_weights, prepare_job, prepare_state
from equipoise.fit.reading import read_splits
from equipoise.fit.recompute import recomputing
from equipoise.fit.resume import check_same, described, recorded_execution
from equipoise.fit.state import State, put
from equipoise.fit.training_part import prepare_training_part
from equipoise.fit.way import ALONE, Way
from equipoise.networks.build import build
from equipoise.networks.network import Network, parameter_count

GOES_ON = (None, StopReason.TIME_BUDGET)
"""What a checkpoint says of a training that resuming goes on with; any other is over."""


def fit(
    plan: Plan,
    seed: int | None = None,
    *,
    data: Any = None,
    splits: Splits | None = None,
    folder: Path | None = None,
    resume: bool = False,
    train: bool = True,
    trust: bool = False,
    on: Way = ALONE,
    on_progress: Listener = silent,
) -> Fit:
    """Return the network that a plan describes, trained.

    The same plan, seed and recorded execution give the same bits, whether or not the training was interrupted and
    resumed. The global random state is left as it was. All of this holds for one call at a time: networks that are not
    dense draw from torch's global generator while they train, so several belong into a cohort, or a process each, and
    not into threads of one's own.

    Args:
        plan: Data, network, recipe and the steps after it.
        seed: Draws everything random; without it, the plan's.
        data: For a plan that was made from data in Python: the same data again (a `DataFrame`, (inputs, targets), ...).
        splits: The data, divided already; without it, loaded as the plan says.
        folder: Where checkpoints (`checkpoint/`) and `history.parquet` are written while training; None writes nothing.
        resume: Go on from the last checkpoint in `folder`; where there is none yet, begin.
        train: False returns the network as it stands.
        trust: Whether a foreign network's file may be unpickled.
        on: Who trains: this process, or the ranks that `torchrun` started (`fit.ranks`).
        on_progress: Hears how far it is, at most ten times a second.

    Raises:
        ValueError: Recipe, task, data and network do not belong together; the folder cannot be written, holds another
            training, or holds one although `resume` is false. All of this before the first step.
    """
    seed = plan.seed if seed is None else seed
    checkpoints = _checkpoints(folder, on, resume=resume) if train else None
    splits = read_splits(plan, seed, data=data, trust=trust, on_progress=on_progress) if splits is None else splits
    splits = prepare_training_part(plan, seed, splits, trust=trust, on_progress=on_progress)
    if train and plan.members > 1:
        return fit_ensemble(plan, seed, splits, trust=trust, on_progress=on_progress)
    network = build(plan.network, splits.signature, splits.preprocessing, seed, trust=trust)
    on_progress(Progress("network", 1, 1, _described(plan, network), finished=True))
    saved = _saved(checkpoints, plan, seed, splits, on_progress) if checkpoints is not None and resume else None
    execution = _execution(plan, network, splits, saved)
    if not train:
        return Fit(network.eval(), plan, seed, splits, StopReason.NOT_TRAINED, execution, (), 0, 0, 0, 0.0)
    check_plan(plan, network)
    on.check(plan, network, saved)
    execution = on.execution(execution, plan)
    if saved is None:
        lay_foundation(plan, seed, splits, network, trust=trust, on_progress=on_progress)
    with executing(execution):
        state, execution = _trained(plan, seed, splits, network, execution, checkpoints, saved, on, on_progress)
    return _result(network, plan, seed, splits, execution, state)


def _result(network: Network, plan: Plan, seed: int, splits: Splits, execution: Execution, state: State) -> Fit:
    return Fit(
        network=network,
        plan=plan,
        seed=seed,
        splits=splits,
        stopped=state.stopped or StopReason.FINISHED,
        execution=execution,
        vitals=state.recorder.history.vitals(),
        epochs=state.epoch,
        steps=state.recorder.step,
        best_epoch=state.kept.epoch,
        seconds=state.seconds,
        acts=state.governor.acts if state.governor is not None else (),
        score=state.kept.score,
    )


def _described(plan: Plan, network: Network) -> str:
    return f"{plan.network.family}, {parameter_count(network):,} parameters"


def _execution(plan: Plan, network: Network, splits: Splits, saved: Checkpoint | None) -> Execution:
    if saved is not None:
        return recorded_execution(saved)
    size = min(plan.recipe.batch_size, len(splits.train))
    return choose_execution(plan.recipe, network, splits.train.batch(torch.arange(size))[0])


def _trained(
    plan: Plan,
    seed: int,
    splits: Splits,
    network: Network,
    execution: Execution,
    checkpoints: Checkpoints | None,
    saved: Checkpoint | None,
    on: Way,
    on_progress: Listener,
) -> tuple[State, Execution]:
    """Train, finish and bring the kept network to the CPU, in place; return the end state and how it was executed."""
    own, device = on.network(network), torch.device(execution.device)
    lay_out(own, execution)
    begun, execution = begin(plan, seed, splits, own, execution)
    stepper = build_stepper(begun.recipe, own, device)
    execution = execution.replace(fused=stepper.fused)
    alone = prepare_job(begun, seed, splits, own, stepper, execution, None, on_progress)
    alone = dataclasses.replace(alone, together=on.together)
    lane, execution = choose_lane(alone, own, stepper, execution, recorded=saved is not None)
    alone = dataclasses.replace(alone, independent=lane.independent)
    if checkpoints is not None:
        about = described(plan, seed, splits, execution)
        history = checkpoints.folder.parent / "history.parquet"
        keeper = Keeper(on.written(checkpoints), history, about, on_progress, on.together)
        alone = dataclasses.replace(alone, keeper=keeper)
    with on.doing(alone, own, begun, class_weights(begun.recipe, own, splits, device)) as job:
        state = prepare_state(begun.recipe, own, stepper, job)
        state.noise = lane.noise
        if saved is not None:
            on.restore(state, saved, seed)
        elif job.keeper is not None:
            job.keeper.write(state)
        if state.stopped in GOES_ON:
            state.resume_budget()
            again = recomputing(own.body) if plan.recipe.checkpoint_activations else contextlib.nullcontext()
            with again, instrumented(job, state, lane):
                train_network(job, state, lane)
        kept = on.whole(state.kept.tensors)
    put(network.to(device), kept)
    finish(plan.finish, network, job.feed.part, job.validation.part, seed)
    job.feed.part.close()
    job.validation.part.close()
    lay_out_kernels(network.to("cpu"), torch.contiguous_format).eval()
    return state, execution


def _checkpoints(folder: Path | None, on: Way, *, resume: bool) -> Checkpoints | None:
    if folder is None:
        if resume:
            raise ValueError(
                "resume: got no folder; expected the one in which the training began. Pass it as `folder`."
            )
        return None
    checkpoints = on.open(folder / "checkpoint")
    if on.together.first and checkpoints.exist() and not resume:
        raise ValueError(
            f"folder: got {folder}, which holds the checkpoint of a training; expected a new folder. Choose another "
            "one, or go on with that training: resume=True (`equipoise run --resume DIR`)."
        )
    return checkpoints


def _saved(checkpoints: Checkpoints, plan: Plan, seed: int, splits: Splits, on_progress: Listener) -> Checkpoint | None:
    """Return the newest whole checkpoint of this very training, or None where there is none yet."""
    saved, notes = checkpoints.read()
    for note in notes:
        on_progress(Progress("checkpoint", 0, 0, note, finished=True))
    if saved is not None:
        check_same(saved, plan, seed, splits)
    return saved
