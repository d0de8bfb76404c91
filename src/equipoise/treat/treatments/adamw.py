"""AdamW: Adam with decoupled weight decay.

Source: Loshchilov and Hutter, ICLR 2019.
Benefit: works at its usual rate on most problems, and keeps weights small.
Cost: two numbers a weight.
Interactions: the decay is multiplied by the rate, so that a schedule fades it out too.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_optimizer

DECAY = 1e-2


def swap(plan: Plan) -> Plan:
    """Return the plan with this optimiser at its usual rate and decay, unless the decay is larger already."""
    decay = max(plan.recipe.weight_decay, DECAY)
    return with_optimizer(plan, "adamw").replace(recipe__weight_decay=decay)


TREATMENT = Change(
    "adamw", "use AdamW", ("optimizer-choice", "overfitting", "loss-trend", "wrong_optimizer", "overfitting"), swap
)
