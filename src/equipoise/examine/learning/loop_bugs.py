"""Asks: does the loop do what it says?"""

from dataclasses import dataclass, field

from equipoise.core.finding import Finding
from equipoise.examine.learning.replay import cost_of, probed
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject

_CARD = Card(
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
    may_help=("zero-grad", "train-eval-mode", "shuffle"),
    sources=(
        "Y. Jiang et al., Training with confidence, OSDI 2025",
        "A. Wald and J. Wolfowitz, On a test whether two samples are from the same population, Annals of "
        "Mathematical Statistics 1940",
    ),
)

_SAMPLES = 1536
"""Samples that are passed forward, about."""


@dataclass(frozen=True, slots=True)
class LoopBugs:
    """Ask: does the loop do what it says?"""

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
        return probed(
            self.card, subject, "gradients-cleared", "train-eval-agree", "deterministic-evaluation", "row-order"
        )
