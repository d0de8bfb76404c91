"""Asks whether the targets, as the loss sees them, have a scale that a network can learn."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from scipy import stats

from equipoise.core.estimate import Estimate, Line, exact
from equipoise.core.figure import Bars
from equipoise.core.finding import Finding
from equipoise.examine.conclude import conclude
from equipoise.examine.data.moments import Moments, decades_from_one, of_moments, offset_in_deviations
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.examine.wording import count_of

_CARD = Card(
    id="target-scale",
    theme="data",
    title="Do the targets have a scale to learn?",
    why=(
        "A network begins with answers near 0 that differ by about 1. Targets in hundreds of thousands make the first "
        "losses and gradients enormous; targets in thousandths make them vanish beside weight decay and rounding. With "
        "several targets, the one on the largest scale is the only one that is learned."
    ),
    how=(
        "The training targets are brought to the scale on which the loss compares them with the body's scores, by "
        "undoing what the network's head does to its scores. `decades_from_one`: the powers of ten between 1 and the "
        "root mean square of the worst target. `offset`: |mean| over standard deviation of the worst target. "
        "Intervals come from a bootstrap over samples. The skewness is reported, not judged."
    ),
    verdicts=(
        "pass: every target within a factor of 10 of 1 and at most 3 deviations from 0. unsure: an interval reaches "
        "across a line. warn: beyond one of these. fail: beyond a factor of 100 or 30 deviations."
    ),
    may_help=("standardise-targets", "take the logarithm of the target", "a Huber loss"),
    sources=(
        "Y. LeCun, L. Bottou, G. B. Orr and K.-R. Müller, Efficient BackProp, Neural Networks: Tricks of the Trade, "
        "1998",
        "H. van Hasselt, A. Guez, M. Hessel, V. Mnih and D. Silver, Learning values across many orders of magnitude, "
        "NeurIPS 2016",
    ),
    lines={"decades_from_one": Line(warn=1.0, fail=2.0), "offset": Line(warn=3.0, fail=30.0)},
)


@dataclass(frozen=True, slots=True)
class TargetScale:
    """Ask how well scaled the targets are, on the scale of the body's scores."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        del subject
        return 0.2

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The targets are no values, or none of them varies.
        """
        task = subject.task
        if task.kind != "regression":
            raise InapplicableError(f"the targets of a task of kind {task.kind} are no values, so they have no scale")
        raw = subject.answers("train").targets.astype(np.float64)
        seen = on_score_scale(subject, raw)
        numbered = tuple(f"target {k + 1}" for k in range(seen.shape[1]))
        names = task.targets if len(task.targets) == seen.shape[1] else numbered
        everything = Moments(names, seen, seen**2)
        varies = seen.std(0) > 0
        if not varies.any() or len(seen) < 2:
            raise InapplicableError("no target varies in the training part, so there is nothing to learn")
        moments = everything.only(varies)
        skewness = {name: float(stats.skew(seen[:, k])) for k, name in enumerate(names) if varies[k]}
        worst = max(skewness, key=lambda name: abs(skewness[name]))
        estimates: dict[str, Estimate] = {
            "decades_from_one": of_moments(decades_from_one, moments).replace(unit="decades"),
            "offset": of_moments(offset_in_deviations, moments).replace(unit="standard deviations"),
            "skewness": exact(skewness[worst], n=len(seen)),
        }
        k = int(np.abs(np.log10(np.maximum(moments.second.mean(0), 1e-30))).argmax())
        claim = (
            f"As the loss sees it over {count_of(len(seen), 'training sample')}, {moments.names[k]} has mean "
            f"{round(moments.mean[k], 6) + 0.0:.3g} and standard deviation {moments.deviation[k]:.3g} (raw "
            f"{raw[:, varies][:, k].mean():.4g} and "
            f"{raw[:, varies][:, k].std():.4g}{f' {task.unit}' if task.unit else ''}); the skewness of {worst} is "
            f"{skewness[worst]:.2f}."
        )
        return conclude(
            self.card,
            claim,
            estimates,
            context.lines,
            where=[f"{name} never changes" for name, ok in zip(names, varies, strict=True) if not ok],
            figures=(_histogram(raw[:, varies][:, k], moments.names[k], task.unit),),
            assumptions=("The loss compares targets with the body's scores, and the head is linear in them.",),
        )


@torch.no_grad()
def on_score_scale(subject: Subject, targets: np.ndarray) -> np.ndarray:
    """Return targets (n, targets) on the scale of the body's scores, by undoing the head, found by probing it.

    Raises:
        InapplicableError: The head is not linear in the scores, so there is no scale to bring targets to.
    """
    width = subject.answers("train").scores.shape[1:]
    at_0, at_1, at_3 = (
        subject.network.head.answer(torch.full((1, *width), value)).double() for value in (0.0, 1.0, 3.0)
    )
    slope = (at_1 - at_0).numpy()
    bent = not torch.allclose(at_3 - at_0, 3 * (at_1 - at_0), rtol=1e-3, atol=1e-6)
    if bent or at_0.shape[1:] != targets.shape[1:] or (slope == 0).any():
        raise InapplicableError("the head is not linear in the scores, so targets cannot be brought to their scale")
    scaled: np.ndarray = (targets - at_0.numpy()) / slope
    return scaled


def _histogram(values: np.ndarray, name: str, unit: str) -> Bars:
    counts, edges = np.histogram(values, bins=min(20, max(5, len(values) // 20)))
    labels = tuple(f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges))
    return Bars(
        title=f"Training targets: {name}{f' ({unit})' if unit else ''}",
        value_label="samples",
        labels=labels,
        values=tuple(float(count) for count in counts),
    )
