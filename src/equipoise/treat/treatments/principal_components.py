"""Principal components: put a fixed layer in front that keeps 95 % of the variance in uncorrelated numbers.

Source: Pearson, Philosophical Magazine 1901; Hotelling, Journal of Educational Psychology 1933; LeCun et al., 1998.
Benefit: fewer and decorrelated inputs, so fewer weights to overfit and a better conditioned first layer.
Cost: a decomposition beforehand; what varies little but matters is lost.
Interactions: whitening raises the noise of small components; convolutions and recurrence need the inputs' own shape.
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
    return plan.replace(data__training__reduction="pca")


TREATMENT = Change(
    "principal-components",
    "put whitened principal components in front",
    ("input-scale", "overfitting", "data-quality", "data-shortage"),
    reduce,
)
