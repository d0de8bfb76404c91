"""Plain stochastic gradient descent.

Source: Robbins and Monro, 1951; Bottou, Curtis and Nocedal, SIAM Review 2018.
Benefit: no memory besides the weights; its noise favours flat minima.
Cost: slow in narrow valleys, and its rate must fit the problem.
Interactions: wants standardised inputs and a schedule.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_optimizer


def swap(plan: Plan) -> Plan:
    """Return the plan with this optimiser at its usual rate."""
    return with_optimizer(plan, "sgd")


TREATMENT = Change(
    "sgd", "use plain stochastic gradient descent", ("optimizer-choice", "memory", "wrong_optimizer"), swap
)
