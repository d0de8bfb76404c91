"""Tail averaging: take the mean of the weights over the last quarter of the steps.

Source: Polyak and Juditsky, SIAM J. Control and Optimization 1992; Jain et al., JMLR 2018; Izmailov et al., UAI 2018.
Benefit: the noise of the last steps cancels, so a better and steadier network without lowering the rate.
Cost: one more copy of the weights; batch-norm statistics are estimated anew.
Interactions: gains most with a constant and rather large rate; adds little to a schedule that falls to zero.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change


def average(plan: Plan) -> Plan:
    """Return the plan with averaged weights.

    Raises:
        ValueError: The optimiser averages by itself.
    """
    if plan.recipe.optimizer == "schedule-free":
        raise ValueError(
            "got the optimizer 'schedule-free', which averages by itself; expected another one. Choose another "
            "treatment."
        )
    return plan.replace(recipe__weight_averaging="tail")


TREATMENT = Change(
    "tail-averaging",
    "average the weights of the last quarter of the steps",
    ("training-stability", "seed-stability", "oscillating_loss", "calibration", "batch_size_too_small"),
    average,
)
