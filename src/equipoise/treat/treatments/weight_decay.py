"""Weight decay: shrink all weights a little at every step, apart from the gradient.

Source: Loshchilov and Hutter, ICLR 2019.
Benefit: smaller weights, so a smaller gap between training and held-out score; works with adaptive optimisers too.
Cost: none a step; some underfitting if it is too strong.
Interactions: acts through learning rate times decay, so a lower rate needs more of it; batch normalisation undoes the
shrinking and leaves a change of the effective rate.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change

DECAY, SGD_DECAY = 0.3, 1e-3
COUPLED = ("gradient-descent", "sgd", "momentum", "nesterov")
"""Optimisers whose decay is the classical coupled one."""


def decay_weights(plan: Plan) -> Plan:
    """Return the plan with weight decay of the size that suits its optimiser."""
    decay = SGD_DECAY if plan.recipe.optimizer in COUPLED else DECAY
    return plan.replace(recipe__weight_decay=max(decay, plan.recipe.weight_decay))


TREATMENT = Change(
    "weight-decay",
    "shrink weights a little at every step",
    ("overfitting", "input-sensitivity", "exploding_gradient"),
    decay_weights,
)
