"""He initialisation: normal weights of variance 2 / fan-in and zero biases.

Source: He, Zhang, Ren and Sun, ICCV 2015.
Benefit: signal and gradient keep their size through layers of rectifiers, so that deep networks begin to learn.
Cost: none.
Interactions: made for rectifiers; under tanh the units saturate in deep networks. Normalisation hides most of it.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option


def draw_he(plan: Plan) -> Plan:
    """Return the plan with these initial weights."""
    return with_option(plan, "initialisation", "he", "initialise:he")


TREATMENT = Change(
    "he-initialisation",
    "draw He weights",
    (
        "initial-loss",
        "vanishing-gradient",
        "dead-units",
        "memorises-a-batch",
        "bad_initialization",
        "vanishing_gradient",
        "dying_relu",
        "dead_layer",
    ),
    draw_he,
)
