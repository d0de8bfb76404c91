"""Class weights: weight the loss of each class by its inverse frequency.

Source: King and Zeng, Political Analysis 2001; He and Garcia, IEEE TKDE 2009.
Benefit: rare classes count as much as frequent ones, so they are learned.
Cost: accuracy on frequent classes; probabilities no longer follow the true frequencies.
Interactions: class-sampling does the same through the batches: use one of them; calibrate afterwards.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import CLASSES, need_task


def weigh(plan: Plan) -> Plan:
    """Return the plan with balanced class weights.

    Raises:
        ValueError: The task is known to have no classes.
    """
    need_task(plan, CLASSES, "class weights")
    return plan.replace(recipe__class_weights="balanced")


TREATMENT = Change(
    "class-weights",
    "weight classes by their inverse frequency",
    ("class-balance", "class_imbalance", "group-bias"),
    weigh,
)
