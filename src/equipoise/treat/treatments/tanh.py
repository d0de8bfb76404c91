"""Tanh: a bend that is bounded on both sides.

Source: LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998.
Benefit: activity that cannot grow without bound, no silent units, smooth functions.
Cost: saturates under large inputs or weights, and gradients vanish in deep networks.
Interactions: goes with Glorot weights and standardised inputs.
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
    return with_option(plan, "activation", "tanh", "activation:tanh")


TREATMENT = Change(
    "tanh",
    "use tanh",
    ("dead-units", "exploding-gradient", "activation-choice", "dying_relu", "exploding_gradient"),
    activate,
)
