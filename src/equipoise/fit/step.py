"""One optimiser step of the training loop, and what the governor says to it."""

from torch import nn

from equipoise.core.stop import StopReason
from equipoise.fit.alarms import Trouble
from equipoise.fit.governor import Decision
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
    decision = governor.judge(state.recorder.step)
    if decision is Decision.GO_ON:
        return None
    state.recorder.forgiving = True
    if decision is Decision.ROLLED_BACK:
        return None
    return StopReason.NOT_FINITE if governor.trouble is Trouble.NOT_FINITE else StopReason.UNSTABLE
