"""Asks: does a step go downhill?"""

from equipoise.examine.learning.asking import ProbeQuestion
from equipoise.examine.question import Card

STEP_DESCENDS = ProbeQuestion(
    card=Card(
        id="step-descends",
        theme="learning",
        title="Does a step go downhill?",
        why=(
            "A step in the wrong direction, or far too long or short, is the one fault that no amount of training "
            "forgives. Whether the loss of the same batch falls along the step is known after one step."
        ),
        how=(
            "One step of the training on one batch: its angle to the negative gradient, and the loss of that "
            "batch at multiples of the step from a thousandth to a thousandfold, random numbers held fixed. The "
            "multiple with the lowest loss says by what factor the step is off."
        ),
        verdicts=(
            "pass: the loss falls along the step. unsure: the step is far shorter or longer than the best one. "
            "fail: it goes uphill, or a step a thousandth as long would still be better."
        ),
        may_help=("learning-rate-search", "lower-step", "warm-up", "check the sign of the loss"),
        sources=(
            "F. Schneider, F. Dangel and P. Hennig, Cockpit: a practical debugging tool for the training of deep "
            "neural networks, NeurIPS 2021",
            "J. Nocedal and S. Wright, Numerical optimization, 2006, chapter 3",
        ),
    ),
    probes=("step-descends",),
    samples=3840,
)
