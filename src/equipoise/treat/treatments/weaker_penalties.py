"""Weaker penalties: no L1, no L2 and no weight decay above 1e-4.

Source: Krogh and Hertz, NeurIPS 1991 (what decay does, in both directions).
Benefit: the data, not the penalty, decide the weights of an underfitting network.
Cost: a larger gap between training and held-out score where data are few.
Interactions: label smoothing and dropout stay.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

MOST = 1e-4


def weaken(plan: Plan) -> Plan:
    """Return the plan with penalties of at most 1e-4."""
    recipe = plan.recipe
    return plan.replace(
        recipe__l1=0.0, recipe__l2=min(recipe.l2, MOST), recipe__weight_decay=min(recipe.weight_decay, MOST)
    )


TREATMENT = Change(
    "weaker-penalties",
    "weaken the penalties on weights",
    ("underfitting", "accuracy", "memorises-a-batch", "over_regularised", "underfitting_capacity"),
    weaken,
)
