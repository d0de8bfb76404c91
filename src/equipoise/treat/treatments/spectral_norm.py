"""Spectral normalisation: hidden weights are divided by their largest singular value.

Source: Miyato, Kataoka, Koyama and Yoshida, ICLR 2018; Yoshida and Miyato, 2017.
Benefit: a small change of the input stays small through the hidden layers; steadier training against an opponent.
Cost: one step of power iteration a layer and a pass; hidden layers can no longer stretch.
Interactions: the output layer stays free; normalisation layers stretch again what this has bounded.
"""

from equipoise.core.network_plan import RecurrentNetwork
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option


def bound(plan: Plan) -> Plan:
    """Return the plan with bounded hidden weights.

    Raises:
        ValueError: The network has recurrent layers only.
    """
    if isinstance(plan.network, RecurrentNetwork):
        raise ValueError(
            "got the family 'recurrent'; expected one with dense or convolutional hidden layers. Choose another "
            "treatment, such as gradient-clipping."
        )
    return with_option(plan, "spectral_norm", True, "spectral-norm")


TREATMENT = Change(
    "spectral-norm",
    "bound the singular values of hidden weights",
    (
        "input-sensitivity",
        "input-noise",
        "training-stability",
        "seed-stability",
        "exploding-gradient",
        "exploding_gradient",
    ),
    bound,
)
