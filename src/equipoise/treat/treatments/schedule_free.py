"""Schedule-free AdamW: averaging in the place of a schedule.

Source: Defazio et al., NeurIPS 2024.
Benefit: what a decaying schedule gives, without knowing the length of the training.
Cost: one more copy of the weights.
Interactions: no schedule and no weight averaging beside it.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_optimizer


def swap(plan: Plan) -> Plan:
    """Return the plan with this optimiser at its usual rate.

    Raises:
        ValueError: The recipe has a schedule or averages weights.
    """
    return with_optimizer(plan, "schedule-free")


TREATMENT = Change(
    "schedule-free",
    "use schedule-free AdamW",
    ("optimizer-choice", "step-size", "loss-trend", "wrong_optimizer", "oscillating_loss"),
    swap,
)
