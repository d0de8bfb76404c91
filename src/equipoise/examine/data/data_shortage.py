"""Asks what twice the data would give."""

from dataclasses import dataclass, field

import numpy as np

from equipoise.core.estimate import Estimate, Line
from equipoise.core.finding import Finding
from equipoise.examine.conclude import conclude
from equipoise.examine.learning_curve import LearningCurve, cost_of_curve, curve_figure, learning_curve
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject
from equipoise.examine.wording import points, score_text, with_interval
from equipoise.stats.extrapolation import fit_power_law
from equipoise.stats.intervals import mean_score
from equipoise.stats.metrics import score_name

_CARD = Card(
    id="data-shortage",
    theme="data",
    title="Would more data help?",
    why=(
        "Collecting data is often the dearest cure and sometimes the only one. A network whose score has stopped "
        "rising with its training samples gains nothing from more of them; where it still rises, more data may be "
        "cheaper than another network."
    ),
    how=(
        "The plan is trained with other seeds on an eighth, a quarter, half and all of the training part (nested, "
        "classes in proportion, as many steps at every size) and scored on the test part. A power law that falls to a "
        "floor is fitted to the errors; all laws that the errors leave possible are kept, each with its weight. "
        "`gain_from_twice` is the rise of the score from the present size to twice as much, with its 95 % credible "
        "interval. `forecast_error` says how far a law fitted without the whole part misses the score that is reached "
        "on it."
    ),
    verdicts=(
        "pass: twice the data would raise the score by at most 0.02 (2 points). unsure: it may be more. warn: surely "
        "more than 0.02. fail: surely more than 0.08: it starves."
    ),
    may_help=("more data", "mixup", "transfer", "synthetic-simulation", "synthetic-gan", "weight-decay"),
    sources=(
        "J. Hestness et al., Deep learning scaling is predictable, empirically, 2017, arXiv 1712.00409",
        "T. Viering and M. Loog, The shape of learning curves: a review, TPAMI 2023",
        "C. Cortes, L. D. Jackel, S. A. Solla, V. Vapnik and J. S. Denker, Learning curves: asymptotic values and rate "
        "of convergence, NeurIPS 1993",
    ),
    lines={"gain_from_twice": Line(warn=0.02, fail=0.08)},
)


@dataclass(frozen=True, slots=True)
class DataShortage:
    """Ask how much the score would rise with twice the data."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return cost_of_curve(subject)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was trained elsewhere, or there are too few samples to leave some out.
        """
        curve, task = learning_curve(subject, context.on_progress), subject.task
        law, n = fit_power_law(curve.sizes, curve.errors), int(curve.sizes[-1])
        estimates = {
            "gain_from_twice": law.estimate(law.error(n) - law.error(2 * n)),
            "score_with_twice": law.estimate(1 - law.error(2 * n)),
            "score": mean_score(curve.scores[:, -1]),
        }
        if len(curve.sizes) > 3:
            estimates["forecast_error"] = _forecast_error(curve)
        return conclude(
            self.card,
            f"On {n:,} training samples the {score_name(task)} is {with_interval(task, estimates['score'])}, on "
            f"{curve.sizes[0]:,} of them {score_text(task, float(curve.scores[:, 0].mean()))}; twice as many would "
            f"change it by {points(task, estimates['gain_from_twice'])}.",
            estimates,
            context.lines,
            figures=(curve_figure(task, curve, law),),
            assumptions=(
                "More data of the same kind: drawn from the same source, labelled with the same care.",
                "The error falls as a power of the number of samples towards a floor, also beyond the sizes tried.",
            ),
            counted="seeds",
        )


def _forecast_error(curve: LearningCurve) -> Estimate:
    """Return how far the whole part's mean score lies above the forecast from the smaller sizes, with the forecast's
    interval: a check of the law on a size that it was not fitted to.
    """
    law = fit_power_law(curve.sizes[:-1], curve.errors[:, :-1])
    reached = float(np.mean(curve.scores[:, -1]))
    return law.estimate(reached - (1 - law.error(float(curve.sizes[-1]))))
