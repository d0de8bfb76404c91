"""Higher step: ten times the learning rate.

Source: Bengio, Practical recommendations for gradient-based training, 2012.
Benefit: a training that ends while the loss still falls gets ten times as far.
Cost: may jump or diverge; the governor then brings it down again.
Interactions: with a schedule that decays, a high peak is safer.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

FACTOR = 10.0


def step_higher(plan: Plan) -> Plan:
    """Return the plan with ten times its learning rate."""
    return plan.replace(recipe__learning_rate=plan.recipe.learning_rate * FACTOR, recipe__learning_rate_search=False)


TREATMENT = Change(
    "higher-step",
    "multiply the learning rate by 10",
    ("step-size", "loss-trend", "underfitting", "accuracy", "memorises-a-batch", "lr_too_low", "too_few_epochs"),
    step_higher,
)
