"""Homeostatic scaling at birth: every hidden unit is brought to mean 0 and deviation 1 on some training rows.

Source: Mishkin and Matas, ICLR 2016 (layer-sequential unit variance); Krähenbühl, Doersch, Donahue and Darrell, ICLR
2016; after synaptic scaling (Turrigiano, Cell 2008).
Benefit: no unit begins saturated or silent, whatever the scale of the inputs and weights.
Cost: two forward passes before the first step.
Interactions: with normalisation layers it changes little.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change


def scale_units(plan: Plan) -> Plan:
    """Return the plan with its units scaled before the first step."""
    return plan.replace(recipe__unit_scaling=True)


TREATMENT = Change(
    "homeostatic-scaling",
    "scale units to unit activity at birth",
    (
        "initial-loss",
        "dead-units",
        "saturated-units",
        "vanishing-gradient",
        "exploding-gradient",
        "training-stability",
        "bad_initialization",
        "saturated_activation",
        "dying_relu",
        "dead_layer",
        "vanishing_gradient",
        "exploding_gradient",
    ),
    scale_units,
)
