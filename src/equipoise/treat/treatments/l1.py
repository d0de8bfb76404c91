"""L1 penalty: add 1e-4 times the absolute size of all weights to the loss.

Source: Tibshirani, Journal of the Royal Statistical Society B 1996.
Benefit: weights that say nothing go to zero, so useless inputs are ignored where there are many of them.
Cost: a little each step; some underfitting where every input counts.
Interactions: with Adam the penalty is divided by the gradient's size like everything else, so it acts more evenly.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

STRENGTH = 1e-3


def penalise(plan: Plan) -> Plan:
    """Return the plan with an L1 penalty."""
    return plan.replace(recipe__l1=max(STRENGTH, plan.recipe.l1))


TREATMENT = Change(
    "l1",
    "penalise the absolute size of weights",
    ("overfitting", "feature-use", "redundancy"),
    penalise,
)
