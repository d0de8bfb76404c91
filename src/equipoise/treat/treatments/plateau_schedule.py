"""Plateau schedule: the step size is halved where the validation loss has not improved for a tenth of the epochs.

Source: the usual practice (Goodfellow, Bengio and Courville, Deep Learning, 2016, chapter 8).
Benefit: as long as large steps help they are kept; no length need be known.
Cost: none.
Interactions: patience for early stopping should be longer than that of the schedule.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_schedule

FACTOR = 0.5


def schedule(plan: Plan) -> Plan:
    """Return the plan with cuts where the validation loss stands still.

    Raises:
        ValueError: The optimiser replaces schedules.
    """
    patience = max(1, plan.recipe.epochs // 10)
    watched = with_schedule(plan, "plateau")
    return watched.replace(recipe__plateau_patience=patience, recipe__step_factor=FACTOR)


TREATMENT = Change(
    "plateau-schedule",
    "halve the step size on plateaus",
    ("loss-trend", "step-size", "overfitting", "oscillating_loss", "lr_too_high"),
    schedule,
)
