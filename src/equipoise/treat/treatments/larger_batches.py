"""Larger batches: four times the batch size, at least 16.

Source: Smith, Kindermans, Ying and Le, ICLR 2018.
Benefit: steps follow the data and not the noise of single samples; less overhead a sample.
Cost: fewer steps an epoch.
Interactions: a larger batch bears a larger rate (Goyal et al., 2017).
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

FACTOR = 4
LEAST = 16
MOST = 512


def grow(plan: Plan) -> Plan:
    """Return the plan with larger batches.

    Raises:
        ValueError: They are as large as is sensible.
    """
    if plan.recipe.optimizer == "gradient-descent" or plan.recipe.batch_size >= MOST:
        raise ValueError(
            f"got batches of {plan.recipe.batch_size} with {plan.recipe.optimizer!r}; expected less than {MOST} and an "
            "optimiser that takes batches. Choose another treatment."
        )
    return plan.replace(recipe__batch_size=min(MOST, max(LEAST, plan.recipe.batch_size * FACTOR)))


TREATMENT = Change(
    "larger-batches",
    "enlarge batches four times",
    ("training-stability", "step-size", "loss-trend", "batch_size_too_small", "oscillating_loss"),
    grow,
)
