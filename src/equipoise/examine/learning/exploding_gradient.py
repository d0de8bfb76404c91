"""Asks: do gradients stay finite and within bounds?"""

from equipoise.examine.learning.asking import VitalsQuestion
from equipoise.examine.question import Card

EXPLODING_GRADIENT = VitalsQuestion(
    card=Card(
        id="exploding-gradient",
        theme="learning",
        title="Do gradients stay finite and within bounds?",
        why=(
            "Gradients that grow from layer to layer throw the weights about; one value that is not finite ends "
            "the training."
        ),
        how=(
            "The first steps of the training are taken again under watch. The slope over depth of the logarithm "
            "of the gradient relative to the weights is tested against no growth, and values that are not finite "
            "are counted where they first appear."
        ),
        verdicts=(
            "pass: neither. warn or fail: gradients grow with depth, or something was not finite; its place is named."
        ),
        may_help=("gradient-clipping", "orthogonal-initialisation", "layer-norm", "gru"),
        sources=(
            "R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks, ICML 2013",
        ),
    ),
    faults=frozenset({"exploding_gradient"}),
)
