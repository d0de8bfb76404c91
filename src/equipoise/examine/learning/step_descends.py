"""Asks: does a step go downhill?"""

from dataclasses import dataclass, field

from equipoise.core.finding import Finding
from equipoise.examine.learning.replay import cost_of, probed
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject

_CARD = Card(
    id="step-descends",
    theme="learning",
    title="Does a step go downhill?",
    why=(
        "A step in the wrong direction, or far too long or short, is the one fault that no amount of training "
        "forgives. Whether the loss of the same batch falls along the step is known after one step."
    ),
    how=(
        "One step of the training on one batch: its angle to the negative gradient, and the loss of that "
        "batch at multiples of the step from a thousandth to a thousandfold, random numbers held fixed. The "
        "multiple with the lowest loss says by what factor the step is off."
    ),
    verdicts=(
        "pass: the loss falls along the step. unsure: the step is far shorter or longer than the best one. "
        "fail: it goes uphill, or a step a thousandth as long would still be better."
    ),
    may_help=("learning-rate", "loss-sign", "warm-up"),
    sources=(
        "F. Schneider, F. Dangel and P. Hennig, Cockpit: a practical debugging tool for the training of deep "
        "neural networks, NeurIPS 2021",
        "J. Nocedal and S. Wright, Numerical optimization, 2006, chapter 3",
    ),
)

_SAMPLES = 3840
"""Samples that are passed forward, about."""


@dataclass(frozen=True, slots=True)
class StepDescends:
    """Ask: does a step go downhill?"""

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
        return probed(self.card, subject, "step-descends")
