"""Asks: do gradients stay finite and within bounds?"""

from dataclasses import dataclass, field

from equipoise.core.finding import Finding
from equipoise.examine.learning.replay import PASS, WATCHED_STEPS, cost_of, told, watched
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject

_CARD = Card(
    id="exploding-gradient",
    theme="learning",
    title="Do gradients stay finite and within bounds?",
    why=(
        "Gradients that grow from layer to layer throw the weights about; one value that is not finite ends "
        "the training."
    ),
    how=(
        "The first steps of the training are taken again under watch. The slope over depth of the logarithm "
        "of the gradient relative to the weights is tested against no growth, and values that are not finite "
        "are counted where they first appear."
    ),
    verdicts=(
        "pass: neither. warn or fail: gradients grow with depth, or something was not finite; its place is named."
    ),
    may_help=("initialisation", "clip-gradients", "normalisation", "gated-recurrence"),
    sources=(
        "R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks, ICML 2013",
    ),
)

_FAULTS = frozenset({"exploding_gradient"})
"""Words of the vocabulary that this question is about."""


@dataclass(frozen=True, slots=True)
class ExplodingGradient:
    """Ask: do gradients stay finite and within bounds?"""

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
