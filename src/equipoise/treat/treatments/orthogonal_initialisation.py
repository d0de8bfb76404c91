"""Orthogonal initialisation: weight matrices that turn and do not stretch.

Source: Saxe, McClelland and Ganguli, ICLR 2014; for recurrence Le, Jaitly and Hinton, 2015.
Benefit: the gradient keeps its length through many layers or steps.
Cost: a decomposition of each matrix before the first step.
Interactions: scaled by the square root of 2 before rectifiers; gates of recurrent cells are drawn one by one.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_option


def draw_orthogonal(plan: Plan) -> Plan:
    """Return the plan with these initial weights."""
    return with_option(plan, "initialisation", "orthogonal", "initialise:orthogonal")


TREATMENT = Change(
    "orthogonal-initialisation",
    "draw orthogonal weights",
    (
        "vanishing-gradient",
        "exploding-gradient",
        "training-stability",
        "bad_initialization",
        "vanishing_gradient",
        "exploding_gradient",
    ),
    draw_orthogonal,
)
