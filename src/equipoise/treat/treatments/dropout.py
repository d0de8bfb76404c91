"""Dropout: leave out every hidden unit with a chance of 0.2 at each training step.

Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, JMLR 2014.
Benefit: less co-adaptation of units, so a smaller gap between training and held-out score where data are few.
Cost: none a step; slower convergence, often more epochs.
Interactions: with batch normalisation the variances of training and evaluation differ (Li et al., CVPR 2019); with an
underfitting network it does harm.
"""

from equipoise.core.network_plan import FamilyOptions
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option

CHANCE = 0.2


def drop_units(plan: Plan) -> Plan:
    """Return the plan with dropout in its network, or as it is where that drops as much already."""
    network = plan.network
    if isinstance(network, FamilyOptions) and network.dropout >= CHANCE:
        return plan
    return with_option(plan, "dropout", CHANCE, f"dropout:{CHANCE:g}")


TREATMENT = Change("dropout", "leave out hidden units at random", ("overfitting", "calibration"), drop_units)
