"""Asks how few examples a class the plan needs for most of what it reaches."""

from dataclasses import dataclass, field

import numpy as np

from equipoise.core.estimate import Line
from equipoise.core.figure import Table
from equipoise.core.finding import Finding
from equipoise.core.signature import Task
from equipoise.examine.conclude import conclude
from equipoise.examine.learning_curve import LearningCurve, cost_of_curve, curve_figure, learning_curve
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.examine.wording import percent, percent_bracketed, score_text, with_interval
from equipoise.stats.extrapolation import PowerLaw, fit_power_law
from equipoise.stats.intervals import mean_score
from equipoise.stats.metrics import score_name

REACHED = 0.95
"""Share of its rise over the simplest answer that counts as most of what it reaches."""

_CARD = Card(
    id="sample-efficiency",
    theme="generalisation",
    title="How few examples does it need?",
    why=(
        "A plan that reaches nearly its whole score with a fraction of the examples leaves room: for cheaper "
        "labelling, for rarer classes, for training again on fresh data alone. One that needs nearly all of them to "
        "get there will do badly on whatever has fewer."
    ),
    how=(
        "From the learning curve of data-shortage (an eighth, a quarter, half and all of the training part, several "
        "seeds): `share_needed` is the share of the training samples with which the fitted power law reaches 95 % of "
        "the way from the simplest answer (the commonest class, the mean) to the score on all of them, with its 95 % "
        "credible interval; never less than the smallest share that was tried. `examples_a_class` is that share in "
        "training samples a class (in training samples for values)."
    ),
    verdicts="pass: surely at most half of the samples suffice. warn: surely more than half are needed; never fails.",
    may_help=("mixup", "transfer", "weight-decay", "capacity-down", "principal-components", "more data"),
    sources=(
        "T. Viering and M. Loog, The shape of learning curves: a review, TPAMI 2023",
        "original (the share of the rise over the simplest answer)",
    ),
    lines={"share_needed": Line(warn=0.5, fail=1.0)},
)


@dataclass(frozen=True, slots=True)
class SampleEfficiency:
    """Ask with what share of its training samples the plan gets most of its score."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return cost_of_curve(subject)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was trained elsewhere, there are too few samples to leave some out, or it
                does no better than the simplest answer.
        """
        curve, task = learning_curve(subject, context.on_progress), subject.task
        full = mean_score(curve.scores[:, -1])
        if full.low <= curve.floor:
            raise InapplicableError(
                f"with {score_text(task, full.value)} it does not surely beat the simplest answer "
                f"({score_text(task, curve.floor)}), so there is nothing to reach"
            )
        law, n = fit_power_law(curve.sizes, curve.errors), float(curve.sizes[-1])
        share = law.estimate(share_needed(law, curve))
        each = n / max(1, len(task.classes))
        examples = share.replace(value=share.value * each, low=share.low * each, high=share.high * each)
        estimates = {"share_needed": share, "examples_a_class": examples, "score": full}
        return conclude(
            self.card,
            f"It takes {percent_bracketed(share, 0)} of the {n:,.0f} training samples, about {examples.value:,.0f}"
            f"{' a class' if task.classes else ''}, to get {percent(REACHED, 0)} of the way from "
            f"{score_text(task, curve.floor)} (the simplest answer) to its {score_name(task)} of "
            f"{with_interval(task, full)}.",
            estimates,
            context.lines,
            figures=(curve_figure(task, curve, law), _table(task, curve)),
            assumptions=("Each size is trained for as many steps as the whole part.",),
            counted="seeds",
        )


def share_needed(law: PowerLaw, curve: LearningCurve) -> np.ndarray:
    """Return the share at which each possible curve reaches `REACHED` of its rise over the floor (draws,).

    Solves floor + scale * share ** -exponent = allowed error; within the shares that were tried.
    """
    allowed = 1 - (curve.floor + REACHED * (1 - law.error(law.largest) - curve.floor))
    ratio = np.maximum(allowed - law.floor, 1e-12) / np.maximum(law.scale, 1e-12)
    share = np.exp(np.clip(-np.log(ratio) / law.exponent, -50, 0))
    return np.clip(share, curve.sizes[0] / law.largest, 1.0)


def _table(task: Task, curve: LearningCurve) -> Table:
    def row(k: int) -> tuple[str, ...]:
        size, score = int(curve.sizes[k]), mean_score(curve.scores[:, k])
        return f"{size:,}", f"{size / max(1, len(task.classes)):,.0f}", with_interval(task, score)

    return Table(
        title="Score by size, mean over seeds",
        columns=("training samples", "a class" if task.classes else "samples", f"test {score_name(task)}"),
        rows=tuple(row(k) for k in range(len(curve.sizes))),
    )
