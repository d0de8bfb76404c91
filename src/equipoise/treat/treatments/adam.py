"""Adam: momentum, with every weight's step divided by the size of its recent gradients.

Source: Kingma and Ba, ICLR 2015.
Benefit: works at its usual rate on most problems, whatever the scale of the loss.
Cost: two numbers a weight.
Interactions: weight decay is decoupled (AdamW).
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_optimizer


def swap(plan: Plan) -> Plan:
    """Return the plan with this optimiser at its usual rate."""
    return with_optimizer(plan, "adam")


TREATMENT = Change(
    "adam",
    "use Adam at 1e-3",
    (
        "optimizer-choice",
        "step-size",
        "loss-trend",
        "underfitting",
        "accuracy",
        "memorises-a-batch",
        "wrong_optimizer",
        "lr_too_high",
        "lr_too_low",
        "oscillating_loss",
    ),
    swap,
)
