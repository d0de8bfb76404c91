"""Asks: is a sample's answer its own?"""

from equipoise.examine.learning.asking import ProbeQuestion
from equipoise.examine.question import Card

BATCH_INDEPENDENCE = ProbeQuestion(
    card=Card(
        id="batch-independence",
        theme="learning",
        title="Is a sample's answer its own?",
        why=(
            "A softmax along the wrong axis or a reshape that mixes rows lets samples of a batch see one another. "
            "Scores on a test batch then depend on its company, and mean nothing for a single sample."
        ),
        how=(
            "One sample of a batch is changed, in evaluation mode; the outputs of all others must stay as they "
            "are, to the precision of the arithmetic. Several trials."
        ),
        verdicts=("pass: no other output moved. fail: some did."),
        may_help=("softmax-axis", "layer-norm", "check along which axis layers reduce"),
        sources=(
            "H. B. Braiek and F. Khomh, Testing feedforward neural networks training programs, TOSEM 2023 "
            "(instance-wise independence)",
        ),
    ),
    probes=("batch-independence",),
    samples=768,
)
