"""The two kinds of change that most treatments are: an option of the network, and another optimiser."""

from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.plan import Plan
from equipoise.core.recipe import Optimizer, Schedule

RATES: dict[Optimizer, float] = {
    "gradient-descent": 0.1,
    "sgd": 0.1,
    "momentum": 0.02,
    "nesterov": 0.02,
    "rmsprop": 1e-3,
    "adam": 1e-3,
    "adamw": 1e-3,
    "lion": 2e-4,
    "muon": 2e-3,
    "schedule-free": 2.5e-3,
}
"""Learning rates that usually suit an optimiser; one swapped in begins with it."""

TAKES_MOMENTUM = ("momentum", "nesterov", "muon", "rmsprop")
"""Optimisers with a momentum that a recipe may set."""


def with_option(plan: Plan, option: str, value: object, surgery: str = "") -> Plan:
    """Return a plan whose network has another option, or, if it was made elsewhere, one more surgery.

    Args:
        plan: The plan.
        option: Option of the network's family.
        value: What it becomes.
        surgery: What does the same to a module tree; see `core.surgeries`. It takes the place of one of its kind.

    Raises:
        ValueError: The family has no such option, or no surgery does this.
    """
    network = plan.network
    if isinstance(network, ForeignNetwork):
        if not surgery:
            raise ValueError(
                f"got a network made elsewhere; expected a family with the option {option!r}. Change its own code."
            )
        return with_surgery(plan, surgery)
    if option not in type(network).model_fields:
        raise ValueError(
            f"got the family {network.family!r}; expected one with the option {option!r}. Choose another treatment."
        )
    return plan.replace(**{f"network__{option}": value})


def with_surgery(plan: Plan, surgery: str) -> Plan:
    """Return a plan whose network, made elsewhere, has one more surgery in the place of one of its kind.

    Raises:
        ValueError: The network is of a family.
    """
    network = plan.network
    if not isinstance(network, ForeignNetwork):
        raise ValueError(
            f"got the family {network.family!r}; expected a network made elsewhere, whose module tree can be changed. "
            "Choose another treatment."
        )
    kind = surgery.partition(":")[0]
    others = [one for one in network.surgeries if one.partition(":")[0] != kind]
    return plan.replace(network__surgeries=[*others, surgery])


def with_optimizer(plan: Plan, optimizer: Optimizer) -> Plan:
    """Return a plan with another optimiser at the learning rate that usually suits it.

    Raises:
        ValueError: It takes batches one by one and the recipe gathers them, or schedules do not go with it.
    """
    recipe = plan.recipe
    if optimizer == "schedule-free" and (recipe.schedule != "constant" or recipe.weight_averaging != "none"):
        raise ValueError(
            f"got the schedule {recipe.schedule!r} and {recipe.weight_averaging!r} weight averaging; expected neither, "
            "since this optimiser replaces both. Choose another optimiser."
        )
    momentum = recipe.momentum if optimizer in TAKES_MOMENTUM and recipe.optimizer in TAKES_MOMENTUM else None
    return plan.replace(recipe__optimizer=optimizer, recipe__learning_rate=RATES[optimizer], recipe__momentum=momentum)


def with_schedule(plan: Plan, schedule: Schedule) -> Plan:
    """Return a plan with another schedule.

    Raises:
        ValueError: The optimiser replaces schedules.
    """
    if plan.recipe.optimizer == "schedule-free":
        raise ValueError(
            "got the optimizer 'schedule-free', which replaces schedules; expected another one. Choose another "
            "treatment, or another optimiser first."
        )
    return plan.replace(recipe__schedule=schedule)
