"""Smaller batches: a quarter of the batch size, and so four times the steps an epoch.

Source: Masters and Luschi, 2018; Keskar et al., ICLR 2017.
Benefit: more steps for the same passes over the data; its noise favours flat minima.
Cost: more overhead a sample; noisier steps.
Interactions: batch norm needs some 16 samples; a larger batch bears a larger rate (Goyal et al., 2017).
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

SHARE = 4
LEAST = 8
FIRST = 32


def shrink(plan: Plan) -> Plan:
    """Return the plan with smaller batches.

    Raises:
        ValueError: They are as small as is sensible.
    """
    if plan.recipe.optimizer == "gradient-descent":
        return plan.replace(recipe__optimizer="sgd", recipe__batch_size=FIRST)
    if plan.recipe.batch_size <= LEAST:
        raise ValueError(
            f"got batches of {plan.recipe.batch_size}; expected more than {LEAST}, below which steps follow the noise "
            "of single samples. Choose another treatment."
        )
    return plan.replace(recipe__batch_size=max(LEAST, plan.recipe.batch_size // SHARE))


TREATMENT = Change(
    "smaller-batches",
    "quarter the batch size",
    ("step-size", "underfitting", "accuracy", "memory", "batch_size_too_large", "too_few_epochs", "lr_too_low"),
    shrink,
)
