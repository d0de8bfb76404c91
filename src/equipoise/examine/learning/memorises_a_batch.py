"""Asks: can it learn one batch by heart?"""

from equipoise.examine.learning.asking import ProbeQuestion
from equipoise.examine.question import Card

MEMORISES_A_BATCH = ProbeQuestion(
    card=Card(
        id="memorises-a-batch",
        theme="learning",
        title="Can it learn one batch by heart?",
        why=(
            "A network that cannot learn a couple of dozen samples by heart cannot learn a data set. If it still "
            "can with inputs replaced by zeros, it does not look at them."
        ),
        how=(
            "The untrained network is trained on one small batch, by its own recipe and by a sound one, and again "
            "with inputs set to zero and with labels shuffled; each run is bounded in seconds."
        ),
        verdicts=(
            "pass: it learns the batch, and does not without its inputs. warn or fail: it cannot, or its inputs "
            "make no difference."
        ),
        may_help=("learning-rate", "capacity", "initialisation", "loss-pairing"),
        sources=(
            "C. Zhang et al., Understanding deep learning requires rethinking generalization, ICLR 2017",
            "H. B. Braiek and F. Khomh, Testing feedforward neural networks training programs, TOSEM 2023",
        ),
    ),
    probes=("memorises-a-batch",),
    samples=19200,
)
