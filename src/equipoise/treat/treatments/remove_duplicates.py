"""Remove duplicates: leave out training rows that repeat, and those that are in the validation or test part too.

Source: Barz and Denzler, Journal of Imaging 2020; Lee et al., ACL 2022.
Benefit: the held-out score is honest, and rows that were copied do not outweigh the others.
Cost: a hash of every row; fewer training rows.
Interactions: where rows leaked, the held-out score falls: it was too good before.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change


def remove(plan: Plan) -> Plan:
    """Return the plan with a training part without repeated rows."""
    return plan.replace(data__training__remove_duplicates=True)


TREATMENT = Change(
    "remove-duplicates",
    "remove training rows that repeat",
    ("split-leakage", "data-quality", "data_leak"),
    remove,
)
