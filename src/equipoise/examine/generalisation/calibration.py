"""Asks whether the network's confidence can be taken at its word."""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats
from scipy.optimize import minimize_scalar, root_scalar

from equipoise.core.estimate import Estimate, Line, exact
from equipoise.core.figure import Curves, Series
from equipoise.core.finding import Finding
from equipoise.core.signature import Task
from equipoise.examine.conclude import conclude
from equipoise.examine.generalisation.accuracy_figures import worst_samples
from equipoise.examine.generalisation.calibration_slope import regression_finding
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.scoring import Scored, scored
from equipoise.examine.subject import Subject
from equipoise.examine.wording import bracketed, count_of, percent
from equipoise.stats.intervals import bootstrap, mean
from equipoise.stats.metrics import (
    IGNORED,
    brier,
    expected_calibration_error,
    negative_log_likelihood,
    reliability,
)

_CARD = Card(
    id="calibration",
    theme="generalisation",
    title="Is it right as often as it claims?",
    why=(
        "A confidence of 90 % that is right 70 % of the time misleads whoever acts on it: a doctor, a filter, an "
        "autopilot that hands over when unsure. Modern networks are often overconfident, and accuracy does not show it."
    ),
    how=(
        "Classes: the expected calibration error over bins of equal mass (at most 15, at least 20 samples each), of "
        "the probability of the answer given. A finite sample makes it positive even for perfect probabilities, so "
        "1,000 sets of outcomes are drawn from the network's own probabilities; their mean is subtracted, which "
        "gives `excess_error`, whose interval takes the larger of the bootstrap's spread and theirs. `consistency_p` "
        "is the share of those sets with an error as large as the one seen. Beside it: confidence minus accuracy, "
        "Brier score, negative log likelihood, and the temperature that the validation part would choose. Values: "
        "the slope of truth on answer (1 for answers that are neither too bold nor too timid) and the mean error in "
        "standard deviations of the target."
    ),
    verdicts=(
        "Classes: pass: the excess error is at most 0.05. unsure: the interval reaches across 0.05. warn: above "
        "0.05. fail: above 0.15. Values: pass: the slope is within 0.2 of 1 and the mean error within 0.1 standard "
        "deviations; fail: off by over 0.5, or over 0.3."
    ),
    may_help=("temperature-scaling", "label-smoothing", "deep-ensemble", "early-stopping", "weight-decay", "mixup"),
    sources=(
        "C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On calibration of modern neural networks, ICML 2017",
        "J. Bröcker and L. A. Smith, Increasing the reliability of reliability diagrams, Weather and Forecasting 2007",
        "J. Vaicenavicius et al., Evaluating model calibration in classification, AISTATS 2019",
        "K. Nguyen and B. O'Connor, Posterior calibration and exploratory analysis for natural language processing "
        "models, EMNLP 2015",
        "D. R. Cox, Two further applications of a model for binary regression, Biometrika 1958",
    ),
    lines={
        "excess_error": Line(warn=0.05, fail=0.15),
        "slope_error": Line(warn=0.2, fail=0.5),
        "bias": Line(warn=0.1, fail=0.3),
    },
)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Ask whether confidence equals the share of right answers.

    Attributes:
        simulations: Sets of outcomes drawn under perfect calibration.
    """

    simulations: int = 1000
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return 0.3 + min(subject.limit, len(subject.part("test"))) * 2e-4

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network gives neither probabilities nor values, or always the same value.
        """
        task = subject.task
        if task.kind == "regression":
            return regression_finding(self.card, subject, context)
        if task.kind not in ("binary", "multiclass", "multilabel", "sequence-labelling"):
            raise InapplicableError(f"{task.kind} gives no probabilities of events that can be seen to come true")
        pair = scored(subject, "test")
        confidence, correct, kept = _claims(task, pair)
        rng = np.random.default_rng(context.generator.initial_seed())
        estimates, p = _errors(confidence, correct, kept, rng, self.simulations)
        flat = kept.ravel()
        c, r = confidence.ravel()[flat], correct.ravel()[flat]
        claim = (
            f"On {count_of(len(pair.answer), 'test sample')} its confidence is {percent(float(c.mean()))} and "
            f"{percent(float(r.mean()))} of its answers are right. The calibration error is "
            f"{bracketed(estimates['expected_calibration_error'])}, of which perfect probabilities would show "
            f"{estimates['error_if_perfect'].value:.3f} by chance: an excess of {bracketed(estimates['excess_error'])} "
            f"(consistency p = {p:.2g})."
        )
        estimates |= _proper_scores(task, pair)
        if task.classifies:
            temperature, words = _temperature(subject, pair)
            estimates["best_temperature"] = temperature
            claim += words if p <= 0.05 else ""
        return conclude(
            self.card,
            claim,
            estimates,
            context.lines,
            worst_samples=worst_samples(subject, pair)[:6],
            figures=(_diagram(c, r),),
            treatments=self.card.may_help,
            assumptions=("Test samples are independent; so, where a sample has several labels or steps, are these.",),
        )


def _claims(task: Task, pair: Scored) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return confidence, whether it was right and whether it counts, each (n, events of a sample)."""
    answer, targets = pair.answer.astype(np.float64), pair.targets
    if task.kind == "multilabel":
        said = answer > 0.5
        return np.where(said, answer, 1 - answer), said == (targets > 0.5), np.ones(answer.shape, dtype=bool)
    confidence, right = answer.max(-1), answer.argmax(-1) == targets
    if task.kind == "sequence-labelling":
        return confidence, right, targets != IGNORED
    return confidence[:, None], right[:, None], np.ones((len(answer), 1), dtype=bool)


def _errors(
    confidence: np.ndarray, correct: np.ndarray, kept: np.ndarray, rng: np.random.Generator, simulations: int
) -> tuple[dict[str, Estimate], float]:
    """Return the calibration errors and the p value of consistency."""
    bins = max(2, min(15, int(kept.sum()) // 20))

    def error(c: np.ndarray, r: np.ndarray, k: np.ndarray) -> float:
        return expected_calibration_error(c[k], r[k], bins=bins)

    seen = bootstrap(error, confidence, correct, kept, repeats=200)
    perfect = simulated_errors(confidence[kept], bins, simulations, rng)
    reach = 1.96 * max((seen.high - seen.low) / 3.92, float(perfect.std()))
    noise = _bin_noise(confidence[kept], bins)
    low, value, high = (miscalibration_behind(seen.value + step, noise) for step in (-reach, 0.0, reach))
    estimates = {
        "excess_error": Estimate(value=value, low=low, high=high, n=seen.n, method="bootstrap, bias inverted"),
        "expected_calibration_error": seen,
        "error_if_perfect": exact(float(perfect.mean()), n=seen.n),
        "overconfidence": mean(((confidence - correct) * kept).sum(1) / np.maximum(kept.sum(1), 1)),
    }
    p = float((1 + (perfect >= seen.value).sum()) / (1 + len(perfect)))
    return {**estimates, "consistency_p": exact(p, n=len(perfect))}, p


def miscalibration_behind(error: float, noise: np.ndarray) -> float:
    """Return the distance between confidence and accuracy that makes a calibration error this large on average.

    With a distance c in every bin, a bin's gap is normal around c, and the mean of its size that of a folded normal
    distribution (Leone, Nelson and Nottingham, Technometrics 1961). An error smaller than perfect probabilities would
    show gives a negative number: by how much it is smaller.

    Args:
        error: Calibration error.
        noise: Standard deviation of each bin's share of right answers (bins,), bins of equal mass.
    """

    def folded(c: float) -> float:
        z = c / noise
        return float((noise * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + c * (1 - 2 * stats.norm.cdf(-z))).mean())

    if error <= folded(0.0):
        return error - folded(0.0)
    if folded(error) <= error:
        return error

    def too_far(c: float) -> float:
        return folded(c) - error

    return float(root_scalar(too_far, bracket=(0.0, error)).root)


def _bin_noise(confidence: np.ndarray, bins: int) -> np.ndarray:
    parts = np.array_split(np.sort(confidence), min(bins, len(confidence)))
    return np.array([max(np.sqrt((part * (1 - part)).sum()) / len(part), 1e-9) for part in parts])


def simulated_errors(confidence: np.ndarray, bins: int, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """Return calibration errors (repeats,) of outcomes drawn from the probabilities themselves.

    Args:
        confidence: Probabilities (n,).
        bins: Number of bins of equal mass.
        repeats: Number of sets of outcomes.
        rng: Draws them.
    """
    ordered = np.sort(confidence)
    starts = np.cumsum([0, *(len(part) for part in np.array_split(ordered, min(bins, len(ordered))))])[:-1]
    found: list[np.ndarray] = []
    for block in range(0, repeats, 100):
        outcomes = rng.random((min(100, repeats - block), len(ordered))) < ordered
        found.append(np.abs(np.add.reduceat(outcomes - ordered, starts, axis=1)).sum(1) / len(ordered))
    return np.concatenate(found)


def _proper_scores(task: Task, pair: Scored) -> dict[str, Estimate]:
    losses = negative_log_likelihood(pair.targets, pair.answer)
    scores = {"negative_log_likelihood": mean(losses, unit="nats")}
    if task.classifies:
        scores["brier_score"] = mean(brier(pair.targets, pair.answer))
    return scores


def _temperature(subject: Subject, pair: Scored) -> tuple[Estimate, str]:
    """Return the temperature that the validation part would choose, and what it does to the loss on the test part."""
    chosen = scored(subject, "validation")

    def loss(log_temperature: float, at: Scored) -> float:
        powers = np.log(np.clip(at.answer.astype(np.float64), 1e-12, 1.0)) / np.exp(log_temperature)
        scaled = np.exp(powers - powers.max(1, keepdims=True))
        return float(negative_log_likelihood(at.targets, scaled / scaled.sum(1, keepdims=True)).mean())

    best = float(minimize_scalar(loss, bounds=(-3.0, 3.0), args=(chosen,), method="bounded").x)
    before, after = loss(0.0, pair), loss(best, pair)
    words = f" A temperature of {np.exp(best):.2f} would bring the test loss from {before:.3f} to {after:.3f} nats."
    if after >= before:
        words = f" No temperature chosen on the validation part improves the test loss of {before:.3f} nats."
    if abs(best) > 2.9:
        words = " No temperature within a factor of 18 makes it honest."
    return exact(float(np.exp(best)), n=len(chosen.answer)), words


def _diagram(confidence: np.ndarray, correct: np.ndarray) -> Curves:
    bins = reliability(confidence, correct, bins=max(2, min(15, len(confidence) // 20)))
    return Curves(
        title="Reliability: share of right answers against confidence",
        x_label="confidence",
        y_label="share right",
        series=(
            Series(
                name="bins of equal mass",
                x=tuple(x for x, _ in bins),
                y=tuple(one.value for _, one in bins),
                low=tuple(one.low for _, one in bins),
                high=tuple(one.high for _, one in bins),
                style="points",
            ),
        ),
        diagonal=True,
    )
