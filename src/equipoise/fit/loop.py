"""The training loop."""

import dataclasses
import math
import time

from equipoise.core.stop import StopReason
from equipoise.fit.announcer import EVERY_S
from equipoise.fit.job import Job
from equipoise.fit.lanes.eager import Eager
from equipoise.fit.lanes.lane import Lane
from equipoise.fit.seeds import derive
from equipoise.fit.state import State, seed_everything
from equipoise.fit.step import govern, govern_validation
from equipoise.fit.stopping import Kept, copies

GIVEN_UP = (StopReason.NOT_FINITE, StopReason.UNSTABLE)


def train_network(job: Job, state: State, lane: Lane | None = None) -> StopReason:
    """Train until there is a reason to stop, and return it; `state` is carried along.

    A round: seed everything from (seed, round), take its steps, look up. Nothing else decides what is drawn, so a
    training that is resumed at any step goes on as if it had never stopped.
    """
    lane = lane or Eager()
    reason = StopReason.FINISHED if state.epoch >= job.recipe.epochs else None
    state.start_clock()
    state.due = time.perf_counter() + EVERY_S
    job.announcer.begin(state)
    try:
        while reason is None:
            reason = _steps(job, state, lane) or _look(job, state)
        if state.batch > 0 and reason in GIVEN_UP:  # what was put back may be the best there was
            _judge(job, state)
        _last_checkpoint(job, state, reason)
        if state.batch > 0 and reason is StopReason.TIME_BUDGET:  # in the middle of a round
            _judge(job, state)
        job.announcer.end(state, reason)
    except KeyboardInterrupt:
        state.stopped = reason = StopReason.INTERRUPTED
        if state.kept.epoch == 0:  # before the first look: take it now
            _judge(job, state)
        state.tick()
        job.announcer.end(state, reason)
    finally:
        if state.governor is not None:
            state.governor.close()
    return reason


def _steps(job: Job, state: State, lane: Lane) -> StopReason | None:
    """Take the steps of a round that are still to be taken."""
    epochs = min(job.round_epochs, job.recipe.epochs - state.epoch)
    if state.batch == 0:
        state.recorder.restart()
        round_seed = derive(job.seed, "round", state.round, *job.together.apart)
        seed_everything(round_seed, state.draws, derive(job.seed, "draws", state.round), state.noise)
    state.network.train()
    state.stepper.train()
    for _ in lane.advance(job, state, epochs):
        if reason := govern(state):
            return reason
        if job.together.is_due(state.due):
            state.due = time.perf_counter() + EVERY_S
            if reason := _glance(job, state):
                return reason
    return None


def _glance(job: Job, state: State) -> StopReason | None:
    """Look at the clock and the last loss in the middle of a round, a few times a second."""
    state.tick()
    loss = state.recorder.latest()
    job.announcer.say(state, loss)
    if state.governor is None and not math.isfinite(loss):
        return StopReason.NOT_FINITE
    if job.together.agree(state.is_over_budget(job.recipe.max_seconds)):
        return StopReason.TIME_BUDGET
    if job.keeper is not None:
        job.keeper.in_round(state)
    return None


def _look(job: Job, state: State) -> StopReason | None:
    """Read the losses of a round, judge the network and decide whether to go on."""
    recipe = job.recipe
    if reason := govern(state, at_end=True):
        return reason
    state.recorder.read()
    state.epoch += min(job.round_epochs, recipe.epochs - state.epoch)
    state.round, state.batch = state.round + 1, 0
    if state.governor is None and not math.isfinite(state.recorder.mean()):
        return StopReason.NOT_FINITE
    loss, score = _judge(job, state)
    state.recorder.history.record_epoch(state.recorder.step, loss, score)
    job.announcer.validated(loss, score)
    state.patience = state.patience.seen(loss, state.epoch, recipe.min_delta)
    if state.governor is not None and state.governor.is_treating:  # patience begins when balance is found again
        state.patience = dataclasses.replace(state.patience, best_epoch=state.epoch)
    state.plateau = state.plateau.seen(loss, state.epoch, recipe)
    state.tick()
    if not math.isfinite(loss) and (reason := govern_validation(state)):
        return reason
    if recipe.target_loss is not None and state.recorder.mean() <= recipe.target_loss:
        return StopReason.TARGET_REACHED
    if state.patience.is_over(state.epoch, recipe.patience):
        return StopReason.NO_IMPROVEMENT
    if state.epoch >= recipe.epochs:
        return StopReason.FINISHED
    if job.together.agree(state.is_over_budget(recipe.max_seconds)):
        return StopReason.TIME_BUDGET
    if job.keeper is not None:
        job.keeper.end_of_round(state)
    return None


def _judge(job: Job, state: State) -> tuple[float, float]:
    """Return validation loss and score of what would be kept now, and keep it when it is better."""
    state.stepper.eval()
    with state.averaged(job.feed):
        loss, score = job.together.agree(job.validation.judge())
        if state.kept.is_beaten_by(score, loss) or (job.recipe.keep == "last" and math.isfinite(loss)):
            state.kept = Kept(copies(state.network), state.epoch + (state.batch > 0), score, loss)
    return loss, score


def _last_checkpoint(job: Job, state: State, reason: StopReason) -> None:
    state.stopped = reason
    state.tick()
    if job.keeper is not None:
        job.keeper.write(state)
