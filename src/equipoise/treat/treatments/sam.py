"""Sharpness-aware minimisation: the gradient is taken at the worst point nearby.

Source: Foret, Kleiner, Mobahi and Neyshabur, ICLR 2021.
Benefit: flat minima, which generalise better and bear noise in labels, inputs and weights.
Cost: two gradients a step: half as many steps at equal cost.
Interactions: takes one batch a step, no accumulation.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

RADIUS = 0.1


def look_around(plan: Plan) -> Plan:
    """Return the plan with gradients from the worst point nearby.

    Raises:
        ValueError: Several batches make a step.
    """
    if plan.recipe.accumulate > 1:
        raise ValueError(
            f"got {plan.recipe.accumulate} batches to a step; expected one, since the worst point is that of a batch. "
            "Choose another treatment."
        )
    return plan.replace(recipe__sharpness_radius=RADIUS)


TREATMENT = Change(
    "sam",
    "minimise the worst loss nearby",
    ("overfitting", "input-sensitivity", "seed-stability", "label-noise", "calibration", "overfitting"),
    look_around,
)
