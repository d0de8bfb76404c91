"""Asks what the loss did while the network was trained."""

from dataclasses import dataclass, field

import numpy as np

from equipoise.core.estimate import Estimate, Line, exact
from equipoise.core.finding import Finding
from equipoise.core.stop import StopReason
from equipoise.core.vital import Vital
from equipoise.examine.conclude import conclude
from equipoise.examine.loss_history import ENOUGH, last_quarter_fall, loss_curves, loss_of
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.examine.wording import count_of, percent
from equipoise.fit.fitted import Fit
from equipoise.stats.intervals import difference_of_means, mean

NEIGHBOURS = 10
"""A spike is judged against so many records on each side of it."""

_CARD = Card(
    id="loss-trend",
    theme="learning",
    title="Did the loss go where it should?",
    why=(
        "The loss curve is the first thing to look at and the easiest to misread by eye. A loss that never falls, "
        "jumps, or becomes infinite has a cause that no later number can make good; a validation loss that turns "
        "upward says when to stop; one that still falls says that the training ended too early."
    ),
    how=(
        "From the recorded losses (medians, minima and maxima of neighbouring steps). `fall`: by which share of its "
        "first value the training loss had fallen in the last eighth of the training, with Student's interval. "
        "`spikes`: the share of records that stand out from their neighbours by over 6 robust standard deviations "
        "and by over half of the first loss, counted. `validation_rise`: how far the validation loss in the last "
        "eighth lies above its best stretch of the same length, as a share of the first training loss, with Welch's "
        "interval; judged only where the last network is kept rather than the best. `not_finite`: records that are "
        "infinite or not a number. The trend at the end is how far the loss fell from the third to the last quarter."
    ),
    verdicts=(
        "pass: the loss fell by over 5 %, stayed finite and did not jump. unsure: an interval reaches across a line. "
        "warn: it fell by under 5 %, over 1 % of the records are spikes, or validation rose by over 5 % of the first "
        "loss although the last network is kept. fail: it fell by under 1 %, over 5 % are spikes, validation rose by "
        "over 30 %, or the loss was not finite."
    ),
    may_help=(
        "learning-rate-search",
        "gradient-clipping",
        "warm-up",
        "standardise-inputs",
        "batch-norm",
        "he-initialisation",
        "early-stopping",
        "more-epochs",
    ),
    sources=(
        "L. Prechelt, Early stopping - but when?, Neural Networks: Tricks of the Trade, 1998",
        "X. Zhang, J. Zhai, S. Ma and C. Shen, AutoTrainer: an automatic DNN training problem detection and repair "
        "system, ICSE 2021",
        "A. Chowdhery et al., PaLM: scaling language modeling with pathways, JMLR 2023, section 5.1 (loss spikes)",
    ),
    lines={
        "fall": Line(warn=0.05, fail=0.01, worse="below"),
        "spikes": Line(warn=0.01, fail=0.05),
        "validation_rise": Line(warn=0.05, fail=0.3),
        "not_finite": Line(warn=0.0, fail=0.0),
    },
)


@dataclass(frozen=True, slots=True)
class LossTrend:
    """Ask what the loss did during the training."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        del subject
        return 0.05

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was not trained here, or too few losses were recorded.
        """
        fit = subject.fit
        if fit is None or fit.stopped is StopReason.NOT_TRAINED:
            raise InapplicableError("the network was trained elsewhere, so there is no record of its loss")
        train, validation = loss_of(fit.vitals, "train"), loss_of(fit.vitals, "validation")
        if train is None or len(train.values) < 2:
            raise InapplicableError("fewer than 2 training losses were recorded")
        finite = np.isfinite(train.values)
        broken = int((~finite).sum()) + int(fit.stopped is StopReason.NOT_FINITE and bool(finite.all()))
        estimates: dict[str, Estimate] = {"not_finite": exact(float(broken), n=len(train.values))}
        lines = {"not_finite": context.lines["not_finite"]}
        if finite[0] and finite.sum() >= ENOUGH and train.values[0] > 0 and subject.task.kind != "generation":
            start = train.values[0]
            values = np.asarray(train.values)[finite]
            estimates |= {"fall": _fall(values, start), "spikes": _spikes(train, start)}
            trend = last_quarter_fall(train, start)
            estimates |= {"last_quarter_fall": trend} if trend else {}
            rise = _rise(validation, start)
            estimates |= {"validation_rise": rise} if rise else {}
            judged = ("fall", "spikes", *(("validation_rise",) if fit.plan.recipe.keep == "last" else ()))
            lines |= {name: context.lines[name] for name in judged if name in estimates}
        return conclude(
            self.card,
            _claim(fit, train, estimates, broken),
            estimates,
            lines,
            figures=(loss_curves(train, validation),),
            treatments=_treatments(estimates, broken, self.card.may_help),
            assumptions=("Neighbouring records are taken as independent; a moving loss only widens the intervals.",),
        )


def _fall(values: np.ndarray, start: float) -> Estimate:
    end = mean(values[-max(3, len(values) // 8) :])
    return end.replace(value=1 - end.value / start, low=1 - end.high / start, high=1 - end.low / start)


def _spikes(train: Vital, start: float) -> Estimate:
    """Return the share of records whose highest loss stands far out from what came before and from what came after.

    Both sides count: the first records of a loss that falls fast lie far above what follows, and are no spikes.
    """
    high = np.asarray(train.high)
    high = high[np.isfinite(high) & (high > 0)]
    local = np.array([_usual(high, k) for k in range(len(high))])
    # Batch losses scatter by factors rather than by amounts, so what is usual is measured in logarithms.
    above = np.log(high / local)
    robust = 1.4826 * float(np.median(np.abs(above - np.median(above))))
    found = (above > 6 * robust) & (high - local > 0.5 * start)
    return exact(float(found.mean()), n=len(high))


def _usual(high: np.ndarray, k: int) -> float:
    """Return the larger median of the neighbours on each side of record k; its own value when a side is missing."""
    before, after = high[max(0, k - NEIGHBOURS) : k], high[k + 1 : k + 1 + NEIGHBOURS]
    return float(max(np.median(before), np.median(after)) if len(before) and len(after) else high[k])


def _rise(validation: Vital | None, start: float) -> Estimate | None:
    """Return how far the last validation losses lie above the best stretch of them, as a share of `start`."""
    if validation is None or len(validation.values) < ENOUGH or not np.isfinite(validation.values).all():
        return None
    values = np.asarray(validation.values)
    width = max(3, len(values) // 8)
    stretches = np.lib.stride_tricks.sliding_window_view(values, width)
    best = stretches[int(stretches.mean(1).argmin())]
    rise = difference_of_means(values[-width:], best)
    return rise.replace(value=rise.value / start, low=rise.low / start, high=rise.high / start)


def _claim(fit: Fit, train: Vital, estimates: dict[str, Estimate], broken: int) -> str:
    if broken:
        first = next((k for k, value in enumerate(train.values) if not np.isfinite(value)), len(train.values) - 1)
        return (
            f"The training loss became infinite or not a number: {count_of(broken, 'record')} of "
            f"{len(train.values):,}, the first about step {train.steps[first]:,}."
        )
    if "fall" not in estimates:
        kept = count_of(len(train.values), "record")
        return f"The training loss went from {train.values[0]:.3g} to {train.values[-1]:.3g} over {kept}."
    fall, spikes = estimates["fall"], estimates["spikes"]
    claim = (
        f"Over {fit.steps:,} steps the training loss fell by {percent(fall.value)} "
        f"[{100 * fall.low:.1f}, {100 * fall.high:.1f}] of its first value {train.values[0]:.3g}, "
        f"with {count_of(round(spikes.value * spikes.n), 'spike')}; {_ending(estimates.get('last_quarter_fall'))}."
    )
    rise = estimates.get("validation_rise")
    if rise and rise.low > 0.01:
        claim += f" The validation loss rose again by {percent(rise.value)} of the first loss"
        kept = fit.plan.recipe.keep == "best"
        claim += f"; the network of epoch {fit.best_epoch} was kept." if kept else ", and the last network is kept."
    return claim


def _ending(trend: Estimate | None) -> str:
    if trend is None:
        return "too few records say where it was going"
    if trend.low > 0.005:
        return f"it was still falling at the end (by {percent(trend.value)} over the last quarter)"
    return "it was rising at the end" if trend.high < -0.005 else "it had settled at the end"


def _treatments(estimates: dict[str, Estimate], broken: int, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    if broken:
        return ("lower-step", "gradient-clipping", "standardise-inputs", "warm-up")
    if "fall" in estimates and estimates["fall"].high < 0.05:
        return ("learning-rate-search", "standardise-inputs", "he-initialisation", "relu", "loss-pairing")
    if "spikes" in estimates and estimates["spikes"].value > 0.01:
        return ("lower-step", "gradient-clipping", "warm-up", "larger-batches")
    return otherwise
