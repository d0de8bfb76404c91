"""Synthetic samples by simulation: the function that the plan names makes half as many training rows more.

Source: Tobin et al., IROS 2017 (domain randomisation); Cranmer, Brehmer and Louppe, PNAS 2020.
Benefit: what is known of how the data come about becomes samples, of cases too that were rarely or never measured.
Cost: the simulator's own; where it differs from the world, the network learns the difference.
Interactions: name the function in data.training.simulator; validation and test stay measured.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import need_task


def add_samples(plan: Plan) -> Plan:
    """Return the plan with half as many training rows more.

    Raises:
        ValueError: The task is known to be of another kind, or no simulator is named.
    """
    need_task(plan, ("binary", "multiclass", "multilabel", "regression"), "synthetic samples")
    if not plan.data.training.simulator:
        raise ValueError(
            "got a plan without a simulator; expected data.training.simulator = 'module:function', called with a "
            "number of samples and a seed. Name one."
        )
    return plan.replace(data__training__synthetic="simulation")


TREATMENT = Change(
    "synthetic-simulation",
    "add training samples from the plan's simulator",
    ("data-shortage", "sample-efficiency", "overfitting"),
    add_samples,
)
