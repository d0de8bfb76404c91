"""Discriminant components: put a fixed layer in front with the directions that tell the classes apart best.

Source: Fisher, Annals of Eugenics 1936; Rao, JRSS B 1948; shrinkage after Ledoit and Wolf, 2004.
Benefit: as many numbers as classes less one, so very few weights where data are few.
Cost: a decomposition beforehand; only what separates class means is kept.
Interactions: the labels enter the first layer: wrong ones hurt twice.
"""

from equipoise.core.network_plan import FamilyOptions
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import need_inputs, need_task


def reduce(plan: Plan) -> Plan:
    """Return the plan with a first layer that leaves fewer numbers.

    Raises:
        ValueError: The task or the inputs are known to be of another kind, or the network needs its inputs as they are.
    """
    need_task(plan, ("binary", "multiclass"), "this reduction")
    need_inputs(plan, ("table", "image", "sound", "array"), "this reduction")
    if not isinstance(plan.network, FamilyOptions) or plan.network.family not in ("dense", "residual"):
        raise ValueError(
            f"got the family {plan.network.family!r}, whose first layer takes the inputs in their own shape; expected "
            "dense or residual. Choose another treatment."
        )
    return plan.replace(data__training__reduction="lda")


TREATMENT = Change(
    "discriminant-components",
    "put linear discriminants in front",
    ("overfitting", "data-shortage", "sample-efficiency"),
    reduce,
)
