"""Leaky ReLU: x for positive, x / 100 for negative values.

Source: Maas, Hannun and Ng, ICML workshop 2013.
Benefit: no unit can fall silent for good, since a little gradient passes everywhere.
Cost: none.
Interactions: goes with He weights.
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
    return with_option(plan, "activation", "leaky-relu", "activation:leaky-relu")


TREATMENT = Change(
    "leaky-relu",
    "use leaky ReLU",
    (
        "dead-units",
        "saturated-units",
        "vanishing-gradient",
        "activation-choice",
        "dying_relu",
        "dead_layer",
        "saturated_activation",
        "vanishing_gradient",
    ),
    activate,
)
