"""Synthetic samples from an autoencoder: draw around the codes of training rows, of every class as many, and decode.

Source: Kingma and Welling, ICLR 2014; Chadebec, Thibeau-Sutre, Burgos and Allassonniere, IEEE TPAMI 2022.
Benefit: variations of rows with their own targets, most for rare classes, so fewer of them are needed.
Cost: fifteen hundred steps of the autoencoder beforehand; images become blurred.
Interactions: balances classes a little by itself; with class weights as well, rare classes may weigh too much.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import need_inputs, need_task


def add_samples(plan: Plan) -> Plan:
    """Return the plan with half as many training rows more.

    Raises:
        ValueError: The task or the inputs are known to be of another kind.
    """
    need_task(plan, ("binary", "multiclass", "multilabel", "regression"), "synthetic samples")
    need_inputs(plan, ("table", "image", "array"), "synthetic samples")
    return plan.replace(data__training__synthetic="autoencoder")


TREATMENT = Change(
    "synthetic-autoencoder",
    "add training samples from a variational autoencoder",
    ("data-shortage", "sample-efficiency", "overfitting", "class-balance", "class_imbalance"),
    add_samples,
)
