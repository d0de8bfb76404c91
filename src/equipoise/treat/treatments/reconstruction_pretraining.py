"""Pretraining by reconstruction: begin with the weights of an autoencoder of the inputs instead of random ones.

Source: Vincent et al., JMLR 2010; Erhan et al., JMLR 2010 (why unsupervised pretraining helps).
Benefit: the first layers begin with what varies in the inputs, which helps where there are few rows and many columns.
Cost: a training of the autoencoder beforehand.
Interactions: gains little where standardised inputs, He weights and enough data already train well.
"""

from equipoise.core.network_plan import DenseNetwork
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import need_inputs


def pretrain(plan: Plan) -> Plan:
    """Return the plan with first weights from an autoencoder.

    Raises:
        ValueError: The network has no dense hidden layers that an autoencoder shares, or the inputs are words.
    """
    need_inputs(plan, ("table", "image", "sound", "array"), "pretraining by reconstruction")
    if not isinstance(plan.network, DenseNetwork) or not plan.network.hidden:
        raise ValueError(
            f"got the family {plan.network.family!r}; expected dense hidden layers, which an autoencoder shares. Name "
            "a related problem and use transfer."
        )
    return plan.replace(network__pretraining="reconstruction")


TREATMENT = Change(
    "reconstruction-pretraining",
    "begin with the weights of an autoencoder",
    ("data-shortage", "sample-efficiency", "vanishing_gradient", "bad_initialization"),
    pretrain,
)
