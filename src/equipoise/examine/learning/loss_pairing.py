"""Asks: do output, loss and targets go together?"""

from equipoise.examine.learning.asking import ProbeQuestion
from equipoise.examine.question import Card

LOSS_PAIRING = ProbeQuestion(
    card=Card(
        id="loss-pairing",
        theme="learning",
        title="Do output, loss and targets go together?",
        why=(
            "A loss is written for one kind of output: logits, probabilities, or quantities. Fed with another "
            "kind it still falls a little, raises no error, and caps what can be learned; softmax over a single "
            "unit, or twice, is among the most frequent faults of real programs."
        ),
        how=(
            "The output is judged by what it is under many changes of weights and inputs, the loss by its values "
            "on outputs made up for the purpose, the task by its targets; shapes and types at the loss are "
            "compared, and the loss with that of aligned shapes. No name or source is read."
        ),
        verdicts=(
            "pass: they go together. warn: they can be trained, at a loss that suits the task badly. fail: the "
            "output cannot be what the loss or the targets need, or shapes broadcast."
        ),
        may_help=("loss-pairing", "output-activation"),
        sources=(
            "H. B. Braiek and F. Khomh, Testing feedforward neural networks training programs, TOSEM 2023",
            "N. Humbatova et al., Taxonomy of real faults in deep learning systems, ICSE 2020",
        ),
    ),
    probes=(
        "loss-pairing",
        "loss-shapes",
    ),
    samples=2560,
)
