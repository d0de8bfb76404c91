"""Asks: do gradients reach the early layers?"""

from dataclasses import dataclass, field

from equipoise.core.finding import Finding
from equipoise.examine.learning.replay import PASS, WATCHED_STEPS, cost_of, told, watched
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject

_CARD = Card(
    id="vanishing-gradient",
    theme="learning",
    title="Do gradients reach the early layers?",
    why=("Where each layer passes on less gradient than it gets, the early ones hardly learn and the depth is wasted."),
    how=(
        "The first steps of the training are taken again under watch. The slope over depth of the logarithm "
        "of the gradient relative to the weights is tested against no fall, at an error rate that holds for "
        "all steps together."
    ),
    verdicts=("pass: no such fall. warn or fail: gradients shrink with depth and the early layers stand still; named."),
    may_help=("initialisation", "activation-swap", "normalisation", "residual-links"),
    sources=(
        "S. Hochreiter, The vanishing gradient problem during learning recurrent neural nets, 1998",
        "X. Glorot and Y. Bengio, Understanding the difficulty of training deep feedforward neural networks, "
        "AISTATS 2010",
    ),
)

_FAULTS = frozenset({"vanishing_gradient"})
"""Words of the vocabulary that this question is about."""


@dataclass(frozen=True, slots=True)
class VanishingGradient:
    """Ask: do gradients reach the early layers?"""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        size = subject.plan.recipe.batch_size if subject.plan else 1
        return cost_of(subject, PASS * WATCHED_STEPS * size)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was trained elsewhere.
        """
        del context
        symptoms, steps = watched(subject)
        seen = [one for one in symptoms if one.suggests and max(one.suggests, key=one.suggests.__getitem__) in _FAULTS]
        return told(self.card, seen, f"No detector found anything of the kind in {steps} steps.")
