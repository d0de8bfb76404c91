"""The sound recipe: everything about the loop is put back to what suits most small networks.

Adam at 1e-3, batches of 32 in a new order every epoch, the loss of the task, no penalties, the governor on; only the
number of epochs stays.

Source: Karpathy, A recipe for training neural networks, 2019; Bengio, 2012.
Benefit: whatever was wrong with loss, optimiser, order or gradients of a training loop is gone at once, since the
loop of this package clears gradients, goes downhill, moves all parameters and sets the modes.
Cost: choices that were good are lost too, so that it says little about what was wrong.
Interactions: try single changes first where a cause is known.
"""

from equipoise.core.plan import Plan
from equipoise.core.recipe import Recipe
from equipoise.treat.change import Change


def put_back(plan: Plan) -> Plan:
    """Return the plan with the default recipe for as many epochs."""
    return plan.replace(
        recipe=Recipe(epochs=plan.recipe.epochs, device=plan.recipe.device, threads=plan.recipe.threads)
    )


TREATMENT = Change(
    "sound-recipe",
    "put the whole recipe back to a sound one",
    (
        "loop-bugs",
        "loss-trend",
        "step-descends",
        "accuracy",
        "memorises-a-batch",
        "missing_zero_grad",
        "gradient_ascent",
        "train_eval_mode",
        "parameters_not_updated",
        "wrong_optimizer",
        "oscillating_loss",
        "over_regularised",
        "no_shuffle",
        "loss_mismatch",
        "batch_size_too_small",
        "batch_size_too_large",
        "lr_too_high",
        "lr_too_low",
    ),
    put_back,
)
