"""Capacity up: double the width of all hidden layers.

Source: Zagoruyko and Komodakis, BMVC 2016 (wide networks); Goodfellow, Bengio and Courville, Deep Learning 2016, 5.2.
Benefit: an underfitting network can follow the data.
Cost: up to four times the operations of hidden layers, so fewer epochs at equal cost; a larger gap where data are few.
Interactions: with an overfitting network it does harm unless the regularisation grows too.
"""

from equipoise.core.plan import Plan
from equipoise.treat.capacity import widened
from equipoise.treat.change import Change


def widen(plan: Plan) -> Plan:
    """Return the plan with twice the width of its network."""
    return widened(plan, 2.0)


TREATMENT = Change(
    "capacity-up",
    "double the width of all hidden layers",
    ("underfitting", "accuracy", "memorises-a-batch", "underfitting_capacity"),
    widen,
)
