"""Less dropout: none where it is, for a network that does not learn enough.

Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, JMLR 2014 (rates above one half starve a network).
Benefit: the whole signal arrives, so that an underfitting network can fit.
Cost: a larger gap between training and held-out score where data are few.
Interactions: raise other regularisation if the gap opens.
"""

from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option

MOST = 0.1


def drop_less(plan: Plan) -> Plan:
    """Return the plan with a lower dropout rate.

    Raises:
        ValueError: The family drops no more than that already.
    """
    network = plan.network
    if not isinstance(network, ForeignNetwork) and network.dropout <= MOST:
        raise ValueError(
            f"got a dropout of {network.dropout:g}; expected more than {MOST:g}, which there is something to gain from "
            "lowering. Choose another treatment."
        )
    return with_option(plan, "dropout", MOST, f"dropout-at-most:{MOST:g}")


TREATMENT = Change(
    "less-dropout",
    "lower dropout to 0.1",
    ("underfitting", "accuracy", "memorises-a-batch", "too_much_dropout", "train_eval_mode", "underfitting_capacity"),
    drop_less,
)
