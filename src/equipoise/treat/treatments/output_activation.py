"""No output activation: the scores are what the last layer gives.

Source: the losses take logits, and regression takes any number (Goodfellow, Bengio and Courville, 2016, chapter 6.2.2).
Benefit: targets outside of the activation's range come within reach, and no second softmax flattens the gradient.
Cost: none.
Interactions: families never have one, so that this is for networks made elsewhere; there a softmax or sigmoid at the
end of an `nn.Sequential` with a class task is taken off anyway.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_surgery


def remove_output_activation(plan: Plan) -> Plan:
    """Return the plan without the activation that makes the output.

    Raises:
        ValueError: The network is of a family, which has none.
    """
    return with_surgery(plan, "output-activation:none")


TREATMENT = Change(
    "output-activation",
    "remove the output activation",
    ("loss-pairing", "initial-loss", "memorises-a-batch", "wrong_output_activation", "double_softmax"),
    remove_output_activation,
)
