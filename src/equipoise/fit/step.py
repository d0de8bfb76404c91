"""One optimiser step of the training loop, and what the governor says to it."""

from torch import nn

from equipoise.core.stop import StopReason
from equipoise.fit.alarms import Trouble
from equipoise.fit.governor import Decision, Governor
from equipoise.fit.job import Job
from equipoise.fit.penalties import add_penalties
from equipoise.fit.schedules import multiplier
from equipoise.fit.state import State


def take_step(job: Job, state: State) -> None:
    """Take one optimiser step with the gradients that are there, unless the governor leaves it out."""
    recipe, stepper, recorder = job.recipe, state.stepper, state.recorder
    if recipe.l1 or recipe.l2:
        add_penalties(job.weights, recipe.l1, recipe.l2)
    sampled = recorder.step % job.sample_every == 0
    factor = multiplier(recipe, recorder.step, job.total_steps, job.feed.steps_per_epoch, state.plateau)
    rate = recipe.learning_rate * factor
    if recipe.max_grad_norm is not None:
        norm = nn.utils.clip_grad_norm_(stepper.parameters, recipe.max_grad_norm)
        if sampled:
            recorder.sample(norm, rate)
    elif sampled:
        gradients = [parameter.grad for parameter in stepper.parameters if parameter.grad is not None]
        recorder.sample(nn.utils.get_total_norm(gradients), rate)
    governor = state.governor
    if governor is not None and governor.in_force.any:
        rate *= governor.in_force.rate_factor(recorder.step)
        if not governor.may_step(recorder.step):
            stepper.clear()
            recorder.next_step()
            return
    if rate != stepper.rate:
        stepper.set_rate(rate)
    stepper.step()
    if governor is not None and recorder.step == 0:
        governor.note_first_step()
    recorder.next_step()
    if state.average is not None:
        state.average.update(recorder.step)


def govern(state: State, *, at_end: bool = False) -> StopReason | None:
    """Let the governor hear and judge the last steps when it wants to; return why to stop, if it gives up.

    Args:
        state: The training between two steps.
        at_end: Whether a round has just ended: losses that are not finite are then judged at once, so that the network
            is not validated with weights that will be taken back.
    """
    governor = state.governor
    if governor is None:
        return None
    due = governor.is_due(state.recorder.step)
    if not (due or at_end):
        return None
    governor.hear(*state.recorder.news())
    if not (due or governor.heard_badly):
        return None
    return _done(state, governor, governor.judge(state.recorder.step))


def govern_validation(state: State) -> StopReason | None:
    """Let the governor act on a validation loss that is not finite; return why to stop, if it cannot help.

    Where nothing was wrong before, neither in validations nor in training, the validation data are to blame.
    """
    governor = state.governor
    if governor is None or not (state.kept.epoch > 0 or governor.is_alert):
        return StopReason.NOT_FINITE
    return _done(state, governor, governor.judge(state.recorder.step, overflowed=True))


def _done(state: State, governor: Governor, decision: Decision) -> StopReason | None:
    if decision is Decision.GO_ON:
        return None
    state.recorder.forgiving = True
    if decision is Decision.ROLLED_BACK:
        return None
    return StopReason.NOT_FINITE if governor.trouble is Trouble.NOT_FINITE else StopReason.UNSTABLE
