"""Treatments that change training batches: one augmentation more."""

from collections.abc import Callable

from equipoise.core.plan import Plan
from equipoise.core.recipe import Augmentation
from equipoise.data.augment import input_kinds
from equipoise.treat.known import need_inputs


def augmenting(name: Augmentation) -> Callable[[Plan], Plan]:
    """Return the change that adds an augmentation to the recipe.

    The change raises ValueError where the inputs are known to be of a kind that it makes no sense for.
    """

    def change(plan: Plan) -> Plan:
        need_inputs(plan, input_kinds(name), f"the augmentation {name!r}")
        names = plan.recipe.augmentation
        return plan if name in names else plan.replace(recipe__augmentation=(*names, name))

    return change
