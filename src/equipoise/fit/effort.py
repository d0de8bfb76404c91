"""How many trainings a plan asks for, counted in trainings of its network alone."""

from equipoise.core.network_plan import FamilyOptions
from equipoise.core.plan import Plan
from equipoise.fit.ensemble import FOLDS as STACKING_FOLDS
from equipoise.fit.pruning import FOLDS as PRUNING_FOLDS


def trainings(plan: Plan) -> int:
    """Return how often a network like the plan's is trained for one fit.

    Members of an ensemble, and for a stack those of the cross-validation that weighs them (`folds` trainings on all but
    one of the folds are `folds` - 1 whole ones); those that judge labels; an autoencoder counts as one.

    Args:
        plan: The plan.
    """
    network = plan.network
    each = 1
    if isinstance(network, FamilyOptions):
        saved = network.pretraining == "related" and not network.related.endswith(".toml")
        each += int(network.denoise) + int(network.pretraining != "none" and not saved)
    often = plan.members * (STACKING_FOLDS if plan.members > 1 and plan.ensemble == "stacked" else 1)
    judging = PRUNING_FOLDS - 1 if plan.data.training.prune_labels else 0
    return each * (often + judging)
