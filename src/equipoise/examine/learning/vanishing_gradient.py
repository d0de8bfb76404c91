"""Asks: do gradients reach the early layers?"""

from equipoise.examine.learning.asking import VitalsQuestion
from equipoise.examine.question import Card

VANISHING_GRADIENT = VitalsQuestion(
    card=Card(
        id="vanishing-gradient",
        theme="learning",
        title="Do gradients reach the early layers?",
        why=(
            "Where each layer passes on less gradient than it gets, the early ones hardly learn, and the depth is "
            "wasted."
        ),
        how=(
            "The first steps of the training are taken again under watch. The slope over depth of the logarithm "
            "of the gradient relative to the weights is tested against no fall, at an error rate that holds for "
            "all steps together."
        ),
        verdicts=(
            "pass: no such fall. warn or fail: gradients shrink with depth and the early layers stand still; named."
        ),
        may_help=("relu", "he-initialisation", "batch-norm", "residual-links", "lstm"),
        sources=(
            "S. Hochreiter, The vanishing gradient problem during learning recurrent neural nets, 1998",
            "X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward neural networks, "
            "AISTATS 2010",
        ),
    ),
    faults=frozenset({"vanishing_gradient"}),
)
