"""Gradient clipping: a gradient longer than 1 is scaled down to 1.

Source: Pascanu, Mikolov and Bengio, ICML 2013.
Benefit: one bad batch or one cliff of the loss does not throw the weights away.
Cost: one norm a step.
Interactions: Adam's step hardly depends on the gradient's length, so that it gains least; recurrence gains most.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

NORM = 1.0


def clip(plan: Plan) -> Plan:
    """Return the plan with its gradient norm bounded, unless it is bounded closer already."""
    present = plan.recipe.max_grad_norm
    return plan.replace(recipe__max_grad_norm=NORM if present is None else min(present, NORM))


TREATMENT = Change(
    "gradient-clipping",
    "clip the gradient norm at 1",
    ("exploding-gradient", "training-stability", "loss-trend", "exploding_gradient", "oscillating_loss"),
    clip,
)
