"""Two kinds of question about a training: what probes say before its first step, and detectors in the first steps."""

from dataclasses import dataclass

from equipoise.core.finding import Finding
from equipoise.examine.learning.replay import PASS, WATCHED_STEPS, cost_of, probed, told, watched
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject


@dataclass(frozen=True, slots=True)
class ProbeQuestion:
    """Ask probes of the training as it was born.

    Attributes:
        card: What a reader should know about it.
        probes: Names of the probes; the worst of what they say is the finding.
        samples: Samples that they pass forward, about.
    """

    card: Card
    probes: tuple[str, ...]
    samples: int

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return cost_of(subject, self.samples)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was trained elsewhere, or no probe applies to it.
        """
        del context
        return probed(self.card, subject, *self.probes)


@dataclass(frozen=True, slots=True)
class VitalsQuestion:
    """Ask the streaming detectors about the first steps of the training, taken once more under watch.

    Attributes:
        card: What a reader should know about it.
        faults: Words of the vocabulary; symptoms count that suggest one of them most.
    """

    card: Card
    faults: frozenset[str]

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
        seen = [
            one
            for one in symptoms
            if one.suggests and max(one.suggests, key=lambda word: one.suggests[word]) in self.faults
        ]
        return told(self.card, seen, f"No detector found anything of the kind in {steps} steps.")
