"""Asks: does every parameter get a gradient and move?"""

from dataclasses import dataclass, field

from equipoise.core.finding import Finding
from equipoise.examine.learning.replay import cost_of, probed
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject

_CARD = Card(
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
    may_help=("register-modules", "remove-detach", "optimiser-parameters", "initialisation"),
    sources=(
        "Y. Jiang et al., Training with confidence: catching silent errors in deep learning training with "
        "automated proactive checks, OSDI 2025",
    ),
)

_SAMPLES = 768
"""Samples that are passed forward, about."""


@dataclass(frozen=True, slots=True)
class GradientReach:
    """Ask: does every parameter get a gradient and move?"""

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
        return probed(self.card, subject, "gradient-reach", "parameters-move")
