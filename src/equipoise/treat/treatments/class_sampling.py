"""Class sampling: draw the samples of a batch so that every class comes equally often.

Source: Buda, Maki and Mazurowski, Neural Networks 2018.
Benefit: every batch holds rare classes, so their gradient is never missing for long; steadier than weights.
Cost: rare samples are repeated and may be learned by heart; frequent ones are seen less often.
Interactions: class-weights do the same through the loss: use one of them; calibrate afterwards.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import need_task


def sample(plan: Plan) -> Plan:
    """Return the plan with batches in which classes are balanced.

    Raises:
        ValueError: The task is known to have no one class a sample, or there are no batches.
    """
    need_task(plan, ("binary", "multiclass"), "balanced batches")
    if plan.recipe.optimizer == "gradient-descent":
        raise ValueError(
            "got the optimizer 'gradient-descent', whose step takes the whole training part; expected one with "
            "batches. Use class weights."
        )
    return plan.replace(recipe__class_sampling="balanced")


TREATMENT = Change(
    "class-sampling",
    "draw every class equally often",
    ("class-balance", "class_imbalance", "group-bias"),
    sample,
)
