"""Asks: can it learn one batch by heart?"""

from dataclasses import dataclass, field

from equipoise.core.finding import Finding
from equipoise.examine.learning.replay import cost_of, probed
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject

_CARD = Card(
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
)

_SAMPLES = 19200
"""Samples that are passed forward, about."""


@dataclass(frozen=True, slots=True)
class MemorisesABatch:
    """Ask: can it learn one batch by heart?"""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return cost_of(subject, _SAMPLES)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was trained elsewhere, or the probe does not apply to it.
        """
        del context
        return probed(self.card, subject, "memorises-a-batch")
