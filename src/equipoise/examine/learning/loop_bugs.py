"""Asks: does the loop do what it says?"""

from equipoise.examine.learning.asking import ProbeQuestion
from equipoise.examine.question import Card

LOOP_BUGS = ProbeQuestion(
    card=Card(
        id="loop-bugs",
        theme="learning",
        title="Does the loop do what it says?",
        why=(
            "Bugs of the loop raise no error: gradients that pile up, a network in the wrong mode, rows that come "
            "in the order of their labels, an evaluation that depends on its batches."
        ),
        how=(
            "Gradients at a step are compared with those since the last one; outputs in training and evaluation "
            "mode with one another, as far as dropout and normalisation allow; the same batch is evaluated twice; "
            "the order of labels is tested with the exact runs test where rows are not shuffled."
        ),
        verdicts=("pass: nothing of the kind. unsure: too few rows to tell. fail: a bug, named with its place."),
        may_help=(
            "sound-recipe",
            "shuffle",
            "clear gradients before every backward pass",
            "set training and evaluation mode",
        ),
        sources=(
            "Y. Jiang et al., Training with confidence, OSDI 2025",
            "A. Wald and J. Wolfowitz, On a test whether two samples are from the same population, Annals of "
            "Mathematical Statistics 1940",
        ),
    ),
    probes=(
        "gradients-cleared",
        "train-eval-agree",
        "deterministic-evaluation",
        "row-order",
    ),
    samples=1536,
)
