"""Asks: does every parameter get a gradient and move?"""

from equipoise.examine.learning.asking import ProbeQuestion
from equipoise.examine.question import Card

GRADIENT_REACH = ProbeQuestion(
    card=Card(
        id="gradient-reach",
        theme="learning",
        title="Does every parameter get a gradient and move?",
        why=(
            "A parameter without gradient, or one that the optimiser does not hold, stays what it was at birth. "
            "The network around it still learns something, so no curve shows that a part of it was never trained."
        ),
        how=(
            "Backward passes over several batches, then steps of the training: which trainable parameters get a "
            "finite gradient that is not zero, which does the optimiser hold, which move. Exact counts."
        ),
        verdicts=("pass: all of them get a gradient and move. fail: some do not; they are named."),
        may_help=(
            "unfreeze",
            "residual-links",
            "register layers as modules",
            "remove detach and no_grad",
            "give the optimiser all parameters",
        ),
        sources=(
            "Y. Jiang et al., Training with confidence: catching silent errors in deep learning training with "
            "automated proactive checks, OSDI 2025",
        ),
    ),
    probes=(
        "gradient-reach",
        "parameters-move",
    ),
    samples=768,
)
