"""GRU cells: recurrence with two gates.

Source: Cho et al., EMNLP 2014; compared with others in Chung, Gulcehre, Cho and Bengio, 2014.
Benefit: gradients pass many steps, with fewer weights than an LSTM.
Cost: three times the operations of plain recurrence.
Interactions: the gates replace the tricks that plain recurrence needs (clipping, orthogonal weights).
"""

from equipoise.core.network_plan import RecurrentNetwork
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option


def gate(plan: Plan) -> Plan:
    """Return the plan with GRU cells in the place of other ones.

    Raises:
        ValueError: The network is not recurrent.
    """
    if isinstance(plan.network, RecurrentNetwork):  # gates are made for the tanh of the memory
        return plan.replace(network__cell="gru", network__activation="tanh")
    return with_option(plan, "cell", "gru", "recurrence:gru")


TREATMENT = Change(
    "gru",
    "GRU cells for recurrence",
    (
        "vanishing-gradient",
        "exploding-gradient",
        "underfitting",
        "vanishing_gradient",
        "exploding_gradient",
        "underfitting_capacity",
    ),
    gate,
)
