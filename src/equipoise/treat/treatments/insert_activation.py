"""A non-linearity between layers: a rectifier behind every linear layer that feeds another one.

Source: Cybenko, 1989; Nair and Hinton, ICML 2010.
Benefit: linear layers in a row are one linear layer; with a bend between them they can follow a curve.
Cost: one cheap operation a layer.
Interactions: with rectifiers He weights fit better than Glorot's.
"""

from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_surgery


def insert_activations(plan: Plan) -> Plan:
    """Return the plan with rectifiers between its linear layers.

    Raises:
        ValueError: The family has activations already.
    """
    network = plan.network
    if isinstance(network, ForeignNetwork):
        return with_surgery(plan, "insert-activation")
    if network.activation != "linear":
        raise ValueError(
            f"got the activation {network.activation!r}; expected a network without one. Choose another treatment."
        )
    return plan.replace(network__activation="relu")


TREATMENT = Change(
    "insert-activation",
    "put rectifiers between linear layers",
    ("underfitting", "accuracy", "missing_activation", "underfitting_capacity"),
    insert_activations,
)
