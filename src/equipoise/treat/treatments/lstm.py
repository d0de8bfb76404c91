"""LSTM cells: recurrence with gates and a memory that is added to.

Source: Hochreiter and Schmidhuber, Neural Computation 1997; Gers, Schmidhuber and Cummins, 2000.
Benefit: gradients pass many steps, so that what came long ago can be learned.
Cost: four times the operations of plain recurrence.
Interactions: the memory replaces the tricks that plain recurrence needs (clipping, orthogonal weights).
"""

from equipoise.core.network_plan import RecurrentNetwork
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option


def gate(plan: Plan) -> Plan:
    """Return the plan with LSTM cells in the place of other ones.

    Raises:
        ValueError: The network is not recurrent.
    """
    if isinstance(plan.network, RecurrentNetwork):  # gates are made for the tanh of the memory
        return plan.replace(network__cell="lstm", network__activation="tanh")
    return with_option(plan, "cell", "lstm", "recurrence:lstm")


TREATMENT = Change(
    "lstm",
    "LSTM cells for recurrence",
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
