"""Unfreezing: all weights of the network are trained.

Source: Howard and Ruder, ACL 2018 (fine-tuning all layers).
Benefit: layers whose weights were not to be moved learn too.
Cost: a gradient for every weight.
Interactions: for networks made elsewhere; pretrained layers may want a smaller step.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_surgery


def unfreeze(plan: Plan) -> Plan:
    """Return the plan with all weights trained.

    Raises:
        ValueError: The network is of a family, where all are.
    """
    return with_surgery(plan, "unfreeze")


TREATMENT = Change(
    "unfreeze",
    "train all weights",
    ("gradient-reach", "underfitting", "parameters_without_gradient", "parameters_not_updated"),
    unfreeze,
)
