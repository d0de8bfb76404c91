"""Momentum: steps follow a running sum of gradients.

Source: Polyak, 1964; Sutskever, Martens, Dahl and Hinton, ICML 2013.
Benefit: faster along narrow valleys, and often the best generalisation on images.
Cost: one number a weight.
Interactions: multiplies the effective rate by ten; wants a schedule.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_optimizer


def swap(plan: Plan) -> Plan:
    """Return the plan with this optimiser at its usual rate."""
    return with_optimizer(plan, "momentum")


TREATMENT = Change("momentum", "use momentum", ("optimizer-choice", "step-size", "wrong_optimizer"), swap)
