"""Standardise the targets: train regression on targets of mean 0 and deviation 1, and answer in the user's units.

Source: LeCun, Bottou, Orr and Mueller, Neural Networks: Tricks of the Trade, 1998.
Benefit: the last layer need not grow to the targets' size first, and the gradient is of the usual size.
Cost: none; mean and deviation are part of the network and travel with it.
Interactions: losses and penalties are then on the standardised scale.
"""

from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import need_task


def standardise(plan: Plan) -> Plan:
    """Return the plan with standardised targets.

    Raises:
        ValueError: The task is known not to be regression, or the network gives standardised targets already.
    """
    need_task(plan, ("regression",), "standardised targets")
    network = plan.network
    if isinstance(network, ForeignNetwork) and network.standardise:
        raise ValueError(
            "got a network made elsewhere whose inputs and targets are standardised; expected one in raw units. Choose "
            "another treatment."
        )
    return plan.replace(network__standardise_targets=True)


TREATMENT = Change(
    "standardise-targets",
    "standardise the targets",
    ("target-scale", "unscaled_target", "exploding_gradient", "initial-loss"),
    standardise,
)
