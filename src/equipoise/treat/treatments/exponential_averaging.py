"""Exponential averaging: keep a running average of the weights that forgets over about a hundred steps.

Source: Polyak and Juditsky, SIAM J. Control and Optimization 1992; Tarvainen and Valpola, NeurIPS 2017.
Benefit: the noise of single steps cancels at any time, so validation is steadier and early stopping chooses better.
Cost: one more copy of the weights and one pass over them a step.
Interactions: gains most with a constant and rather large rate; lags behind in the first epochs.
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
    return plan.replace(recipe__weight_averaging="exponential")


TREATMENT = Change(
    "exponential-averaging",
    "keep an exponential average of the weights",
    ("training-stability", "seed-stability", "oscillating_loss", "calibration", "batch_size_too_small"),
    average,
)
