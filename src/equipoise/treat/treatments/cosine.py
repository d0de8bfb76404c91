"""Cosine schedule: the step size falls to zero along half a cosine.

Source: Loshchilov and Hutter, ICLR 2017.
Benefit: large steps while there is far to go, small ones to settle at the end; the last network is a good one.
Cost: none; the length of the training must be known.
Interactions: early stopping may end it before the small steps come.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_schedule


def schedule(plan: Plan) -> Plan:
    """Return the plan with this schedule.

    Raises:
        ValueError: The optimiser replaces schedules.
    """
    return with_schedule(plan, "cosine")


TREATMENT = Change(
    "cosine",
    "decay the step along a cosine",
    ("loss-trend", "step-size", "accuracy", "training-stability", "seed-stability", "oscillating_loss", "lr_too_high"),
    schedule,
)
