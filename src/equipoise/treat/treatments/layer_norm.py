"""Layer normalisation: the units of a hidden layer have mean 0 and deviation 1 in every sample.

Source: Ba, Kiros and Hinton, 2016.
Benefit: stable activity at any batch size, the same in training and evaluation.
Cost: about a tenth more time a step.
Interactions: on images it goes over channels and positions together; for recurrence it follows each layer.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option


def normalise_layers(plan: Plan) -> Plan:
    """Return the plan with this normalisation behind its hidden layers."""
    return with_option(plan, "normalisation", "layer", "normalisation:layer")


TREATMENT = Change(
    "layer-norm",
    "normalise units of a layer",
    (
        "vanishing-gradient",
        "exploding-gradient",
        "saturated-units",
        "training-stability",
        "batch-independence",
        "vanishing_gradient",
        "exploding_gradient",
        "saturated_activation",
        "train_eval_mode",
        "batch_size_too_small",
    ),
    normalise_layers,
)
