"""Nesterov momentum: momentum that looks ahead.

Source: Nesterov, 1983; Sutskever, Martens, Dahl and Hinton, ICML 2013.
Benefit: less overshooting than plain momentum.
Cost: one number a weight.
Interactions: multiplies the effective rate by ten; wants a schedule.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_optimizer


def swap(plan: Plan) -> Plan:
    """Return the plan with this optimiser at its usual rate."""
    return with_optimizer(plan, "nesterov")


TREATMENT = Change(
    "nesterov", "use Nesterov momentum", ("optimizer-choice", "step-size", "wrong_optimizer", "oscillating_loss"), swap
)
