"""More epochs: train three times as long.

Source: Hoffer, Hubara and Soudry, NeurIPS 2017 (train longer); diagnosis: a loss that still falls at the end.
Benefit: an underfitting network gets where its loss was heading.
Cost: three times the training.
Interactions: schedules are stretched with it; with a patience it costs nothing where there is nothing to gain.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

FACTOR = 3


def train_longer(plan: Plan) -> Plan:
    """Return the plan with three times its epochs, and as much patience."""
    patience = None if plan.recipe.patience is None else FACTOR * plan.recipe.patience
    return plan.replace(recipe__epochs=FACTOR * plan.recipe.epochs, recipe__patience=patience)


TREATMENT = Change(
    "more-epochs",
    "train three times as long",
    ("underfitting", "loss-trend", "accuracy", "too_few_epochs", "lr_too_low"),
    train_longer,
    longer=True,
)
