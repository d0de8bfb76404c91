"""Asks: are the steps of a sensible size?"""

from dataclasses import dataclass, field

from equipoise.core.finding import Finding
from equipoise.examine.learning.replay import PASS, WATCHED_STEPS, cost_of, told, watched
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject

_CARD = Card(
    id="step-size",
    theme="learning",
    title="Are the steps of a sensible size?",
    why=(
        "A step that changes weights by a tenth of their size forgets what was learned; one that changes them "
        "by a millionth learns nothing in a lifetime."
    ),
    how=(
        "The first steps of the training are taken again under watch. The ratio of step to weights, the "
        "course of the loss, the sign of the cosine between successive gradients: each tested against what "
        "healthy trainings show, at an error rate that holds for all steps together."
    ),
    verdicts=(
        "pass: neither too large nor too small. warn or fail: the steps are too large (spikes, divergence, "
        "bouncing) or too small (the loss moves less than its noise)."
    ),
    may_help=("learning-rate", "warm-up", "schedule", "batch-size"),
    sources=(
        "F. Schneider, F. Dangel and P. Hennig, Cockpit, NeurIPS 2021",
        "H. B. Braiek and F. Khomh, Testing feedforward neural networks training programs, TOSEM 2023",
    ),
)

_FAULTS = frozenset({"lr_too_low", "lr_too_high", "gradient_ascent", "oscillating_loss"})
"""Words of the vocabulary that this question is about."""


@dataclass(frozen=True, slots=True)
class StepSize:
    """Ask: are the steps of a sensible size?"""

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
