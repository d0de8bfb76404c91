"""RMSprop: every weight's step is divided by the size of its recent gradients.

Source: Tieleman and Hinton, lecture 6.5, 2012.
Benefit: one rate suits weights of very different gradients; common for recurrence.
Cost: one number a weight.
Interactions: the step hardly depends on the scale of the loss.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_optimizer


def swap(plan: Plan) -> Plan:
    """Return the plan with this optimiser at its usual rate."""
    return with_optimizer(plan, "rmsprop")


TREATMENT = Change("rmsprop", "use RMSprop", ("optimizer-choice", "wrong_optimizer", "vanishing_gradient"), swap)
