"""Asks: are the steps of a sensible size?"""

from equipoise.examine.learning.asking import VitalsQuestion
from equipoise.examine.question import Card

STEP_SIZE = VitalsQuestion(
    card=Card(
        id="step-size",
        theme="learning",
        title="Are the steps of a sensible size?",
        why=(
            "A step that changes weights by a tenth of their size forgets what was learned; one that changes them "
            "by a millionth learns nothing in a lifetime."
        ),
        how=(
            "The first steps of the training are taken again under watch. The ratio of step to weights, the "
            "course of the loss, the sign of the cosine between successive gradients: each tested against what "
            "healthy trainings show, at an error rate that holds for all steps together."
        ),
        verdicts=(
            "pass: neither too large nor too small. warn or fail: the steps are too large (spikes, divergence, "
            "bouncing) or too small (the loss moves less than its noise)."
        ),
        may_help=("learning-rate-search", "warm-up", "one-cycle", "smaller-batches"),
        sources=(
            "F. Schneider, F. Dangel and P. Hennig, Cockpit, NeurIPS 2021",
            "H. B. Braiek and F. Khomh, Testing feedforward neural networks training programs, TOSEM 2023",
        ),
    ),
    faults=frozenset({"lr_too_low", "lr_too_high", "gradient_ascent", "oscillating_loss"}),
)
