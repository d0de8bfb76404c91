"""Glorot initialisation: uniform weights of variance 2 / (fan-in + fan-out) and zero biases.

Source: Glorot and Bengio, AISTATS 2010.
Benefit: neither signal nor gradient grows or shrinks through layers that are linear around zero (tanh, sigmoid).
Cost: none.
Interactions: under rectifiers half of the variance is lost a layer; there He weights fit.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option


def draw_glorot(plan: Plan) -> Plan:
    """Return the plan with these initial weights."""
    return with_option(plan, "initialisation", "glorot", "initialise:glorot")


TREATMENT = Change(
    "glorot-initialisation",
    "draw Glorot weights",
    (
        "initial-loss",
        "vanishing-gradient",
        "exploding-gradient",
        "saturated-units",
        "bad_initialization",
        "saturated_activation",
        "vanishing_gradient",
        "exploding_gradient",
    ),
    draw_glorot,
)
