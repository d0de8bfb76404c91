"""Early stopping: stop when the validation loss has not fallen for a tenth of the epochs, and keep the best network.

Source: Prechelt, Neural Networks: Tricks of the Trade, 1998; Yao, Rosasco and Caponnetto, Constr. Approx. 2007.
Benefit: the network is taken before it learns its training rows by heart, at less cost.
Cost: validation data choose the epoch, so their score is a little too good; a late improvement may be missed.
Interactions: schedules that fall late (cosine, one-cycle) need all their epochs; a patience that is too short stops
noise.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

SHORTEST = 5
"""Fewest epochs without improvement that are waited for."""


def stop_early(plan: Plan) -> Plan:
    """Return the plan with a patience of a tenth of its epochs."""
    most = max(SHORTEST, plan.recipe.epochs // 10)
    patience = most if plan.recipe.patience is None else min(most, plan.recipe.patience)
    return plan.replace(recipe__patience=patience, recipe__keep="best")


TREATMENT = Change(
    "early-stopping",
    "stop when the validation loss no longer falls",
    ("overfitting", "training-stability", "training-speed"),
    stop_early,
)
