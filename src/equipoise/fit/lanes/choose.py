"""Which lane a training takes: a fixed rule for short ones, a timing on a copy for the others."""

import copy
import dataclasses
import statistics
import time

import torch
from torch import Tensor, nn

from equipoise.fit.fitted import Execution
from equipoise.fit.job import Job
from equipoise.fit.lanes.eager import Eager
from equipoise.fit.lanes.lane import Lane
from equipoise.fit.lanes.lower import lower
from equipoise.fit.lanes.native import Steps
from equipoise.fit.lanes.plan import PlanLane
from equipoise.fit.objectives import Supervised
from equipoise.fit.optimizers import Stepper, build_stepper, weights_of
from equipoise.fit.prepare import prepare_state
from equipoise.fit.state import State, seed_everything
from equipoise.networks.network import Network

TIMED_STEPS = 1000
"""Planned steps from which a timing is worth its time."""

SMALL = 20e6
"""Multiply-adds of a step up to which the plan lane is taken without a timing."""

TRIED = 8
"""Steps of a timing, of each lane."""

TOLERANCE = 1e-3
"""The weights of two lanes agree when they are at most so far from each other after a few steps, as a share of the way
that they went."""

WORTH = 0.95
"""The plan lane is taken when it needs at most this share of the eager lane's time."""


def choose_lane(
    job: Job, network: Network, stepper: Stepper, execution: Execution, *, recorded: bool
) -> tuple[Lane, Execution]:
    """Return the lane of a training, and its execution with the lane, the reason and the timings in it.

    Network, optimiser and random streams are left as they are.

    Args:
        job: The training.
        network: What is trained, laid out on its device.
        stepper: Its optimiser, before the first step.
        execution: How it is executed otherwise.
        recorded: Whether `execution` says the lane already, as that of a training that goes on does.
    """
    if execution.ranks > 1:
        return Eager(), execution.replace(lane="eager", lane_reason="eager: several ranks train together")
    if recorded and execution.lane == "eager":
        return Eager(), execution
    if not job.recipe.tuned:
        return Eager(), execution.replace(lane="eager", lane_reason="plain: asked for")
    steps = Steps()
    laid_out = lower(job, network, stepper, steps)
    if isinstance(laid_out, str):
        return Eager(), execution.replace(lane="eager", lane_reason=f"eager: {laid_out}")
    if recorded:
        return laid_out, execution
    name = f"plan ({steps.name.removeprefix('steps_')})"
    work = _work(network) * max(job.feed.sizes) * job.feed.accumulate
    if job.total_steps < TIMED_STEPS:
        if work <= SMALL:
            return laid_out, execution.replace(lane=name, lane_reason=f"{name}: small steps, too few to time")
        return Eager(), execution.replace(lane="eager", lane_reason="eager: large steps, too few to time")
    plan_s, eager_s, apart = compare(job, network, steps)
    said = (
        f"timed {plan_s * 1e6:.3g} us a step against {eager_s * 1e6:.3g} eager; after {TRIED} steps weights agree to "
        f"{apart:.1g} of the way they went (tolerance {TOLERANCE:g})"
    )
    if plan_s <= WORTH * eager_s and apart <= TOLERANCE:
        return laid_out, execution.replace(lane=name, lane_reason=f"{name}: {said}")
    return Eager(), execution.replace(lane="eager", lane_reason=f"eager: {said}")


def compare(job: Job, network: Network, steps: Steps) -> tuple[float, float, float]:
    """Return seconds a step in the plan lane and in the eager one, and how far apart their weights are after a few.

    Both take the first steps of the training on copies of the network; random streams are left as they are.

    Args:
        job: The training, which can be laid out.
        network: What is trained.
        steps: The extension module.

    Returns:
        Median seconds of the plan lane and of the eager one; the distance of their weights as a share of the way that
        they went.
    """
    with torch.random.fork_rng(devices=[]):
        plan_s, plan, count = _tried(job, network, steps, TRIED)
        eager_s, eager, _ = _tried(job, network, None, count)
    began = _flat(network)
    way = float((eager - began).norm())
    return plan_s, eager_s, float((plan - eager).norm()) / way if way > 0 else float((plan - eager).norm())


def _tried(job: Job, network: Network, steps: Steps | None, count: int) -> tuple[float, Tensor, int]:
    """Return the duration of a step on a copy, the weights after at least `count` steps, and how many they were."""
    tried = copy.deepcopy(network)
    recipe = job.recipe.replace(governor=False, weight_averaging="none", vitals_every=None)
    stepper = build_stepper(recipe, tried, job.feed.part.device)
    objective = job.objective
    if isinstance(objective, Supervised):
        objective = dataclasses.replace(objective, body=tried.body)
    weights = tuple(weights_of(stepper.parameters))
    trial = dataclasses.replace(job, recipe=recipe, objective=objective, weights=weights, keeper=None)
    lane: Lane | str = Eager() if steps is None else lower(trial, tried, stepper, steps)
    if isinstance(lane, str):
        raise RuntimeError(f"got a copy that cannot be laid out ({lane}); expected one like its original. Report this.")
    state = prepare_state(recipe, tried, stepper, trial)
    state.noise = lane.noise
    seed_everything(job.seed, state.draws, job.seed, state.noise)
    tried.train()
    if isinstance(lane, PlanLane):
        lane.most = count
    return _timed(lane, trial, state, count), _flat(tried), state.recorder.step


def _timed(lane: Lane, job: Job, state: State, count: int) -> float:
    """Take at least `count` steps, one round after another, and return the median duration of one but the first.

    With one thread its own time counts, so that whatever else the machine does has no say.
    """
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    durations: list[float] = []
    while state.recorder.step < count:
        steps = lane.advance(job, state, 1)
        before, began = state.recorder.step, clock()
        for _ in steps:
            now = clock()
            durations += [(now - began) / (state.recorder.step - before)] * (state.recorder.step - before)
            if state.recorder.step >= count:
                break
            before, began = state.recorder.step, clock()
        state.round, state.batch = state.round + 1, 0
    return statistics.median(durations[1:] or durations)


def _flat(network: nn.Module) -> Tensor:
    return torch.cat([one.detach().flatten() for one in network.parameters()])


def _work(network: nn.Module) -> float:
    """Return about how many multiply-adds a training step takes for one sample."""
    return 3.0 * sum(one.numel() for one in network.parameters() if one.dim() == 2)
