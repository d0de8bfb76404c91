"""Feature selection: keep the inputs that share more information with the target than the best of them does by chance.

Source: Kraskov, Stoegbauer and Grassberger, Physical Review E 2004; Guyon and Elisseeff, JMLR 2003.
Benefit: inputs that are nothing but noise cannot be overfitted.
Cost: an estimate for each feature beforehand; features that say something only together are lost.
Interactions: l1 does it while training; look at feature-use before and after.
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
    need_task(plan, ("binary", "multiclass", "multilabel", "regression"), "this reduction")
    need_inputs(plan, ("table", "image", "sound", "array"), "this reduction")
    if not isinstance(plan.network, FamilyOptions) or plan.network.family not in ("dense", "residual"):
        raise ValueError(
            f"got the family {plan.network.family!r}, whose first layer takes the inputs in their own shape; expected "
            "dense or residual. Choose another treatment."
        )
    return plan.replace(data__training__reduction="information")


TREATMENT = Change(
    "feature-selection",
    "keep the features that say something about the target",
    ("overfitting", "feature-use", "data-quality", "data-shortage"),
    reduce,
)
