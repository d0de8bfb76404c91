"""Asks: can it learn one batch by heart?"""

from dataclasses import dataclass, field

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.plan import Plan
from equipoise.examine.learning.replay import cost_of, probed
from equipoise.examine.planned.program import program_of_plan
from equipoise.examine.probes.all import PROBES
from equipoise.examine.probes.setup import Setup
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject
from equipoise.stats.intervals import mean, proportion

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
        "with inputs set to zero and with labels shuffled; each run is bounded in seconds. With a budget of more than "
        "a minute four other seeds are asked too: `seeds` is the share of them all that learn it, with Wilson's "
        "interval, and what is learned gets its interval over seeds."
    ),
    verdicts=(
        "pass: it learns the batch, and does not without its inputs. warn or fail: it cannot, or its inputs "
        "make no difference. unsure: some seeds can and others cannot."
    ),
    may_help=("learning-rate-search", "capacity-up", "he-initialisation", "loss-pairing"),
    sources=(
        "C. Zhang et al., Understanding deep learning requires rethinking generalization, ICLR 2017",
        "H. B. Braiek and F. Khomh, Testing feedforward neural networks training programs, TOSEM 2023",
    ),
)

PROBE = "memorises-a-batch"
SAMPLES = 19200
"""Samples that the probe passes forward, about."""

SEEDS = 5
"""Seeds that are asked where the budget allows more than `SHORT_S`."""

SHORT_S = 60.0


@dataclass(frozen=True, slots=True)
class MemorisesABatch:
    """Ask whether the network can learn one batch by heart as it was born, and as other seeds would bear it."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores, for the seed of the plan alone."""
        return cost_of(subject, SAMPLES)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was trained elsewhere, or the probe does not apply to it.
        """
        own = probed(self.card, subject, PROBE)
        if context.budget_s <= SHORT_S or subject.plan is None:
            return own
        plans = [subject.plan.replace(seed=subject.plan.seed + k) for k in range(1, SEEDS)]
        return over_seeds(own, [_born_by(plan, subject) for plan in plans])


def _born_by(plan: Plan, subject: Subject) -> Symptom:
    return PROBES[PROBE](Setup(**program_of_plan(plan, subject.splits).arguments))


def over_seeds(own: Finding, others: list[Symptom]) -> Finding:
    """Return a finding about one seed as one about several.

    Args:
        own: What was found with the plan's seed.
        others: What the probe says with other seeds; those that it could not be asked about do not count.
    """
    asked = [one for one in others if one.verdict not in (Verdict.SKIPPED, Verdict.ERROR)]
    verdicts = [own.verdict, *(one.verdict for one in asked)]
    can = verdicts.count(Verdict.PASS)
    estimates = {"seeds": proportion(can, len(verdicts))}
    for name, estimate in own.estimates.items():
        values = [estimate.value, *(one.estimates[name].value for one in asked if name in one.estimates)]
        estimates[name] = mean(np.array(values)) if len(values) > 1 else estimate
    mixed = 0 < can < len(verdicts)
    return own.replace(
        verdict=Verdict.UNSURE if mixed else own.verdict,
        claim=f"{own.claim} With {can} of {len(verdicts)} seeds it learns the batch.",
        estimates={name: one.plain() for name, one in estimates.items()},
        treatments=_CARD.may_help if mixed else own.treatments,
    )


MEMORISES_A_BATCH = MemorisesABatch()
