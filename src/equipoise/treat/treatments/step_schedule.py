"""Step schedule: the step size is divided by 5 after each third of the training.

Source: Krizhevsky, Sutskever and Hinton, NeurIPS 2012; He et al., CVPR 2016.
Benefit: large steps first, small ones to settle.
Cost: none; the length of the training must be known.
Interactions: early stopping may end it before the small steps come.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_schedule

PARTS = 3
FACTOR = 0.2


def schedule(plan: Plan) -> Plan:
    """Return the plan with two cuts of its step size.

    Raises:
        ValueError: The optimiser replaces schedules, or there are too few epochs.
    """
    epochs = plan.recipe.epochs
    if epochs < PARTS:
        raise ValueError(f"got {epochs} epochs; expected at least {PARTS}, one a part. Choose the cosine schedule.")
    stepped = with_schedule(plan, "step")
    return stepped.replace(recipe__step_every=-(-epochs // PARTS), recipe__step_factor=FACTOR)


TREATMENT = Change(
    "step-schedule",
    "cut the step size twice",
    ("loss-trend", "step-size", "training-stability", "oscillating_loss", "lr_too_high"),
    schedule,
)
