"""Transfer: begin with the weights of a network trained on a related problem with the same inputs.

Source: Yosinski, Clune, Bengio and Lipson, NeurIPS 2014; Caruana, Machine Learning 1997.
Benefit: what both problems share need not be learned again, so few rows are enough.
Cost: a training of the related problem beforehand, unless it is a saved network.
Interactions: name the saved network or the plan in network.related; the last layer is always new; where the problems
differ, the start may be worse than a random one.
"""

from equipoise.core.network_plan import FamilyOptions
from equipoise.core.plan import Plan
from equipoise.treat.change import Change


def transfer(plan: Plan) -> Plan:
    """Return the plan with first weights from the related problem that it names.

    Raises:
        ValueError: It names none, or its network was made elsewhere.
    """
    network = plan.network
    if not isinstance(network, FamilyOptions):
        raise ValueError(
            "got a network made elsewhere; expected a family, whose layers can be told apart. Load the weights in the "
            "network's own code."
        )
    if not network.related:
        raise ValueError(
            "got a plan without a related problem; expected network.related, a saved network or a plan for the same "
            "inputs. Name one."
        )
    return plan.replace(network__pretraining="related")


TREATMENT = Change(
    "transfer",
    "begin with the weights of a related problem",
    ("data-shortage", "sample-efficiency", "bad_initialization"),
    transfer,
)
