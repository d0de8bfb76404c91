"""SiLU (Swish): x times its sigmoid.

Source: Elfwing, Uchibe and Doya, Neural Networks 2018; Ramachandran, Zoph and Le, 2017.
Benefit: smooth, and passes gradients at small negative values.
Cost: several times that of ReLU, which matters in small networks.
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
    return with_option(plan, "activation", "silu", "activation:silu")


TREATMENT = Change(
    "silu",
    "use SiLU",
    ("dead-units", "saturated-units", "input-sensitivity", "activation-choice", "dying_relu", "saturated_activation"),
    activate,
)
