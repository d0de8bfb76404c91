"""Capacity down: halve the width of all hidden layers.

Source: Baum and Haussler, Neural Computation 1989; Goodfellow, Bengio and Courville, Deep Learning 2016, 5.2.
Benefit: fewer weights to learn rows by heart with, and a faster and smaller network.
Cost: what the smaller network cannot express.
Interactions: regularising a large network usually beats shrinking it where time does not matter.
"""

from equipoise.core.plan import Plan
from equipoise.treat.capacity import widened
from equipoise.treat.change import Change


def narrow(plan: Plan) -> Plan:
    """Return the plan with half the width of its network."""
    return widened(plan, 0.5)


TREATMENT = Change(
    "capacity-down",
    "halve the width of all hidden layers",
    ("overfitting", "latency", "memory", "redundancy", "training-speed"),
    narrow,
)
