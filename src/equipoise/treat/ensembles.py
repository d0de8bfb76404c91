"""Several networks instead of one."""

from equipoise.core.plan import Ensemble, Plan
from equipoise.treat.known import need_task

MEMBERS = 5
"""Most of the gain of an ensemble is there with five (Lakshminarayanan et al., NeurIPS 2017, figure 2)."""


def several(plan: Plan, ensemble: Ensemble) -> Plan:
    """Return a plan whose answers come from several networks.

    Raises:
        ValueError: It has several of another kind already, or the task is known to have answers without a mean.
    """
    need_task(plan, ("binary", "multiclass", "multilabel", "regression", "sequence-labelling"), "an ensemble")
    if plan.members > 1 and plan.ensemble != ensemble:
        raise ValueError(
            f"got a plan with {plan.members} networks of the kind {plan.ensemble!r}; expected a single one. Choose "
            "another treatment."
        )
    return plan.replace(members=max(MEMBERS, plan.members), ensemble=ensemble)
