"""Label pruning: leave out training rows that networks which have not seen them confidently put into another class.

Source: Northcutt, Jiang and Chuang, JAIR 2021 (confident learning).
Benefit: the network does not learn wrong labels by heart.
Cost: four trainings on three quarters of the rows beforehand; some hard but right rows are lost.
Interactions: rare classes lose more: look at them; it does nothing about wrong labels in validation and test.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import need_task


def prune(plan: Plan) -> Plan:
    """Return the plan with a training part without labels that are very likely wrong.

    Raises:
        ValueError: The task is known to have no one class a sample.
    """
    need_task(plan, ("binary", "multiclass"), "label pruning")
    return plan.replace(data__training__prune_labels=True)


TREATMENT = Change(
    "label-pruning",
    "remove training rows whose label is very likely wrong",
    ("label-noise", "data-quality", "wrong_labels"),
    prune,
)
