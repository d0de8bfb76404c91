"""Batch normalisation: every hidden unit has mean 0 and deviation 1 over the batch.

Source: Ioffe and Szegedy, ICML 2015; why it helps: Santurkar, Tsipras, Ilyas and Madry, NeurIPS 2018.
Benefit: larger steps are stable, and the scale of inputs and weights matters less.
Cost: about a tenth more time a step.
Interactions: needs batches of some 16 samples; a sample's gradient depends on its batch; with dropout the variances of
training and evaluation differ (Li et al., CVPR 2019).
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option


def normalise_batches(plan: Plan) -> Plan:
    """Return the plan with this normalisation behind its hidden layers."""
    return with_option(plan, "normalisation", "batch", "normalisation:batch")


TREATMENT = Change(
    "batch-norm",
    "normalise units over the batch",
    (
        "vanishing-gradient",
        "exploding-gradient",
        "saturated-units",
        "dead-units",
        "input-scale",
        "training-stability",
        "underfitting",
        "vanishing_gradient",
        "exploding_gradient",
        "saturated_activation",
        "dying_relu",
        "bad_initialization",
        "dead_layer",
    ),
    normalise_batches,
)
