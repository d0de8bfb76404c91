"""Lion: steps of one size, in the direction of a running mean of signs.

Source: Chen et al., NeurIPS 2023.
Benefit: half the memory of Adam.
Cost: one number a weight; steps do not shrink by themselves, so that it wants a schedule.
Interactions: takes a rate several times smaller and a weight decay several times larger than Adam.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_optimizer


def swap(plan: Plan) -> Plan:
    """Return the plan with this optimiser at its usual rate."""
    return with_optimizer(plan, "lion")


TREATMENT = Change("lion", "use Lion", ("optimizer-choice", "memory", "wrong_optimizer"), swap)
