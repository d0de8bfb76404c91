"""Softmax along the classes: never over the samples of a batch.

Source: the definition of the softmax (Bridle, 1990).
Benefit: a sample's answer no longer depends on its neighbours in the batch.
Cost: none.
Interactions: for networks made elsewhere; families have no such layer.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_surgery


def turn_softmax(plan: Plan) -> Plan:
    """Return the plan with every softmax over samples turned to the last axis.

    Raises:
        ValueError: The network is of a family, which has none.
    """
    return with_surgery(plan, "softmax-axis")


TREATMENT = Change(
    "softmax-axis", "turn a softmax over samples to the classes", ("batch-independence", "batch_mixing"), turn_softmax
)
