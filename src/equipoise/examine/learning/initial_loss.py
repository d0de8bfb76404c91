"""Asks: is the loss at birth that of knowing nothing?"""

from equipoise.examine.learning.asking import ProbeQuestion
from equipoise.examine.question import Card

INITIAL_LOSS = ProbeQuestion(
    card=Card(
        id="initial-loss",
        theme="learning",
        title="Is the loss at birth that of knowing nothing?",
        why=(
            "Before its first step a network knows nothing, so its loss should be near that of the best constant "
            "answer. A loss far above says that weights or targets are on the wrong scale; far below, that the "
            "answer leaks into the inputs."
        ),
        how=(
            "The loss of the untrained network on training batches, with the interval of its mean, against the "
            "loss of the best constant answer to the same targets."
        ),
        verdicts=(
            "pass: the interval lies near the loss of the best constant. unsure or warn: it lies above. fail: it "
            "lies far above, or is not finite."
        ),
        may_help=(
            "glorot-initialisation",
            "standardise-inputs",
            "standardise-targets",
            "an output bias at the class shares",
        ),
        sources=(
            "A. Karpathy, A recipe for training neural networks, 2019 (verify loss at init)",
            "H. B. Braiek and F. Khomh, Testing feedforward neural networks training programs, TOSEM 2023",
        ),
    ),
    probes=("initial-loss",),
    samples=512,
)
