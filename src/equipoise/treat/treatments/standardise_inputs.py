"""Standardise the inputs: subtract each column's mean and divide by its deviation, fitted on the training part.

Source: LeCun, Bottou, Orr and Mueller, Neural Networks: Tricks of the Trade, 1998.
Benefit: all inputs pull alike and units start where their activation bends, so training is fast and steps can be large.
Cost: none; the numbers are part of the network and travel with it.
Interactions: a network made elsewhere then also gives standardised targets; batch normalisation behind the first layer
does much of the same.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.known import need_inputs


def standardise(plan: Plan) -> Plan:
    """Return the plan with standardised inputs.

    Raises:
        ValueError: The inputs are known to be words.
    """
    need_inputs(plan, ("table", "image", "sound", "array"), "standardised inputs")
    return plan.replace(network__standardise=True)


TREATMENT = Change(
    "standardise-inputs",
    "standardise the inputs",
    ("input-scale", "unscaled_input", "saturated_activation", "saturated-units", "vanishing_gradient", "step-size"),
    standardise,
)
