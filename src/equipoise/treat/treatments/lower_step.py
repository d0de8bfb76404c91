"""Lower step: a tenth of the learning rate.

Source: Bengio, Practical recommendations for gradient-based training, 2012.
Benefit: a loss that jumps or diverges settles, and units no longer die.
Cost: slower progress: ten times the steps for the same way.
Interactions: Adam and Lion need smaller rates than plain gradient steps.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

FACTOR = 0.1


def step_lower(plan: Plan) -> Plan:
    """Return the plan with a tenth of its learning rate."""
    return plan.replace(recipe__learning_rate=plan.recipe.learning_rate * FACTOR, recipe__learning_rate_search=False)


TREATMENT = Change(
    "lower-step",
    "divide the learning rate by 10",
    (
        "step-size",
        "step-descends",
        "training-stability",
        "loss-trend",
        "dead-units",
        "seed-stability",
        "lr_too_high",
        "oscillating_loss",
        "exploding_gradient",
        "dying_relu",
        "batch_size_too_small",
        "dead_layer",
    ),
    step_lower,
)
