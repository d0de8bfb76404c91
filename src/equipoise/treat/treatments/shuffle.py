"""Shuffling: the order of the rows is drawn anew for every epoch.

Source: Bengio, 2012; Bottou, 2009 (without replacement is faster).
Benefit: a batch speaks for all rows, also where they come sorted by class or time.
Cost: none.
Interactions: with the whole training part as one batch it changes nothing.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change


def shuffle(plan: Plan) -> Plan:
    """Return the plan with shuffled rows."""
    return plan.replace(recipe__shuffle=True)


TREATMENT = Change(
    "shuffle",
    "shuffle the rows",
    ("loop-bugs", "loss-trend", "no_shuffle", "wrong_labels", "oscillating_loss"),
    shuffle,
)
