"""Group normalisation: groups of channels have mean 0 and deviation 1 in every sample.

Source: Wu and He, ECCV 2018.
Benefit: what batch normalisation gives to convolutions, at any batch size and the same in training and evaluation.
Cost: about a tenth more time a step.
Interactions: as many groups as divide both 8 and the width; in the place of batch norm it makes samples independent.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option


def normalise_groups(plan: Plan) -> Plan:
    """Return the plan with this normalisation behind its hidden layers."""
    return with_option(plan, "normalisation", "group", "normalisation:group")


TREATMENT = Change(
    "group-norm",
    "normalise groups of units",
    (
        "vanishing-gradient",
        "exploding-gradient",
        "training-stability",
        "batch-independence",
        "vanishing_gradient",
        "exploding_gradient",
        "batch_mixing",
        "train_eval_mode",
        "batch_size_too_small",
    ),
    normalise_groups,
)
