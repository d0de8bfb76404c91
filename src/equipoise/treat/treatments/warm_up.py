"""Warm-up: the step size grows linearly over the first twentieth of the training.

Source: Goyal et al., 2017; for adaptive optimisers Liu et al., ICLR 2020.
Benefit: the first steps, whose statistics are poor and whose gradients are large, do no lasting harm.
Cost: a twentieth of the training at smaller steps.
Interactions: comes before any schedule and shortens it; schedule-free has a warm-up of its own, in steps.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

SHARE = 0.05
STEPS = 100


def warm_up(plan: Plan) -> Plan:
    """Return the plan with a warm-up, unless there is a longer one already."""
    if plan.recipe.optimizer == "schedule-free":
        return plan.replace(recipe__warmup_steps=max(plan.recipe.warmup_steps, STEPS))
    return plan.replace(recipe__warmup_share=max(plan.recipe.warmup_share, SHARE))


TREATMENT = Change(
    "warm-up",
    "warm the step size up",
    (
        "training-stability",
        "step-size",
        "step-descends",
        "initial-loss",
        "dead-units",
        "lr_too_high",
        "exploding_gradient",
        "dying_relu",
    ),
    warm_up,
)
