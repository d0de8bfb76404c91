"""Learning-rate search: a short range test before the first step finds the peak step size.

Source: Smith, WACV 2017.
Benefit: the one number that decides most is measured on this problem and not guessed.
Cost: a hundred steps on a copy of the network.
Interactions: found for the recipe's own optimiser and batch size; the range test cannot foresee what a rate does late
in a long training, so that a decaying schedule goes well with it.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change


def search(plan: Plan) -> Plan:
    """Return the plan with its learning rate found before the first step."""
    return plan.replace(recipe__learning_rate_search=True)


TREATMENT = Change(
    "learning-rate-search",
    "find the learning rate by a range test",
    (
        "step-size",
        "step-descends",
        "loss-trend",
        "underfitting",
        "accuracy",
        "memorises-a-batch",
        "optimizer-choice",
        "lr_too_high",
        "lr_too_low",
        "wrong_optimizer",
        "oscillating_loss",
    ),
    search,
)
