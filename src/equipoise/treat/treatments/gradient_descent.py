"""Gradient descent: one step an epoch on the whole training part.

Source: Cauchy, 1847; for networks Rumelhart, Hinton and Williams, Nature 1986.
Benefit: no noise of batches, so that a tiny problem settles exactly.
Cost: one step an epoch: on anything but tiny data far too few.
Interactions: batch size and order do not matter.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_optimizer


def swap(plan: Plan) -> Plan:
    """Return the plan with this optimiser at its usual rate."""
    return with_optimizer(plan, "gradient-descent")


TREATMENT = Change(
    "gradient-descent", "step once an epoch on all rows", ("optimizer-choice", "batch_size_too_small"), swap
)
