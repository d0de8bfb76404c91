"""One-cycle schedule: the step size rises for a quarter of the training and falls to nothing after it.

Source: Smith and Topin, 2017 (super-convergence).
Benefit: a larger peak rate is stable, since it is reached late and left again.
Cost: none; the length of the training must be known.
Interactions: early stopping may end it before the small steps come; with a higher peak it gains most.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_schedule


def schedule(plan: Plan) -> Plan:
    """Return the plan with this schedule.

    Raises:
        ValueError: The optimiser replaces schedules.
    """
    return with_schedule(plan, "one-cycle")


TREATMENT = Change(
    "one-cycle",
    "let the step size rise and fall once",
    ("loss-trend", "step-size", "accuracy", "underfitting", "oscillating_loss", "lr_too_high"),
    schedule,
)
