"""L2 penalty: add half of 1e-2 times the squared size of all weights to the loss.

Source: Hoerl and Kennard, Technometrics 1970; Krogh and Hertz, NeurIPS 1991.
Benefit: smaller weights, so smoother outputs and a smaller gap between training and held-out score.
Cost: a little each step; some underfitting if it is too strong.
Interactions: with Adam the penalty is divided by the gradient's size (Loshchilov and Hutter, ICLR 2019): use
weight-decay there; no need for both.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

STRENGTH = 1e-2


def penalise(plan: Plan) -> Plan:
    """Return the plan with an L2 penalty."""
    return plan.replace(recipe__l2=max(STRENGTH, plan.recipe.l2))


TREATMENT = Change("l2", "penalise the square of weights", ("overfitting", "input-sensitivity"), penalise)
