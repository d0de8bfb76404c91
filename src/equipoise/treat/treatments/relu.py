"""ReLU: max(0, x) in the place of the other activation.

Source: Nair and Hinton, ICML 2010; Glorot, Bordes and Bengio, AISTATS 2011.
Benefit: no asymptote on the positive side, so that gradients pass deep networks; the cheapest bend there is.
Cost: units that are negative on every sample stay silent.
Interactions: goes with He weights; a large step kills units.
"""

from equipoise.core.network_plan import RecurrentNetwork
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option


def activate(plan: Plan) -> Plan:
    """Return the plan with this activation in its hidden layers.

    Raises:
        ValueError: The cells are gated, where the activation belongs to the cell.
    """
    network = plan.network
    if isinstance(network, RecurrentNetwork) and network.cell != "plain":
        raise ValueError(
            f"got {network.cell} cells, whose activation belongs to them; expected plain ones or another family. "
            "Choose another treatment."
        )
    return with_option(plan, "activation", "relu", "activation:relu")


TREATMENT = Change(
    "relu",
    "use ReLU",
    ("saturated-units", "vanishing-gradient", "activation-choice", "saturated_activation", "vanishing_gradient"),
    activate,
)
