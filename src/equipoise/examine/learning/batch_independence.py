"""Asks: is a sample's answer its own?"""

from dataclasses import dataclass, field

from equipoise.core.finding import Finding
from equipoise.examine.learning.replay import cost_of, probed
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject

_CARD = Card(
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
    may_help=("fix-axis",),
    sources=(
        "H. B. Braiek and F. Khomh, Testing feedforward neural networks training programs, TOSEM 2023 "
        "(instance-wise independence)",
    ),
)

_SAMPLES = 768
"""Samples that are passed forward, about."""


@dataclass(frozen=True, slots=True)
class BatchIndependence:
    """Ask: is a sample's answer its own?"""

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
        return probed(self.card, subject, "batch-independence")
