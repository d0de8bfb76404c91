"""Asks how good the answers on unseen samples are, and whether simple methods do as well."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.metrics import adjusted_rand_score, silhouette_samples

from equipoise.core.estimate import Estimate, Line, exact
from equipoise.core.finding import Finding
from equipoise.examine.conclude import conclude
from equipoise.examine.generalisation.accuracy_figures import class_table, figures_of, side_by_side, worst_samples
from equipoise.examine.generalisation.baselines import Baseline, baselines, best_of, k_means
from equipoise.examine.generalisation.simple_features import simple_features
from equipoise.examine.question import Card, Context
from equipoise.examine.scoring import Scored, errors, score_difference, scored, share_removed
from equipoise.examine.subject import Subject
from equipoise.examine.wording import bracketed, count_of, percent, points, score_text, with_interval
from equipoise.stats.intervals import bootstrap, mean, paired_difference
from equipoise.stats.metrics import ClassScores, score_estimate, score_name
from equipoise.stats.one_thread import one_thread
from equipoise.stats.paired import mcnemar_p

LITTLE = 0.15
"""Below this share of removed errors, a gain that is not proven counts as none."""

_CARD = Card(
    id="accuracy",
    theme="generalisation",
    title="Are its answers on unseen samples any good?",
    why=(
        "A score means nothing alone: 95 % is poor where 96 % of the samples are of one class, and a network that a "
        "linear model equals in a second was not worth training. Nothing can be learned from noise, and no repair of "
        "the network will change that, so this must be said before anything else is tried."
    ),
    how=(
        "The task's usual score on the test part (accuracy with a Wilson interval; token accuracy, micro F1, R2 and "
        "explained variance with a bootstrap over samples; silhouettes for clusters, a nearest-neighbour two-sample "
        "test for generated samples), with precision, recall and F1 of each class. Beside it, on the same samples: "
        "answering all alike, a linear model and boosted trees, trained on at most 2,000 samples of the training "
        "part. `lift` is the share of the errors of answering all alike that the network removes (1 = perfect, 0 = "
        "none), by a paired bootstrap. `over_best_baseline` is the network's score minus that of the baseline with "
        "the best validation score, paired on the same test samples; for classes McNemar's exact p is given too. A "
        "small gain whose interval reaches 0 is judged by its lower end, `proven_lift`: the proof that something was "
        "learned lies with the network."
    ),
    verdicts=(
        "pass: it removes more than 5 % of the errors of answering all alike, and is shown to be at most 5 points "
        "worse than the best simple method. unsure: the samples cannot tell. warn: the gain is below 5 %, or a "
        "simple method is over 5 points better. fail: it is not shown to beat answering all alike, or a simple "
        "method is over 15 points better."
    ),
    may_help=(
        "more-epochs",
        "learning-rate-search",
        "capacity-up",
        "feature-selection",
        "another architecture",
        "more data",
        "boosted trees instead",
    ),
    sources=(
        "E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927",
        "Q. McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 1947",
        "B. Efron, Better bootstrap confidence intervals, JASA 1987",
        "L. Grinsztajn, E. Oyallon and G. Varoquaux, Why do tree-based models still outperform deep learning on "
        "typical tabular data?, NeurIPS 2022 Datasets and Benchmarks",
        "R. C. Holte, Very simple classification rules perform well on most commonly used datasets, Machine Learning "
        "1993",
    ),
    lines={
        "lift": Line(warn=0.05, fail=0.02, worse="below"),
        "proven_lift": Line(warn=0.005, fail=0.005, worse="below"),
        "over_best_baseline": Line(warn=-0.05, fail=-0.15, worse="below"),
    },
)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Ask how good the answers are, and whether simple methods do as well."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        classes = max(1, len(subject.task.classes))
        return 1.0 + min(2000, len(subject.part("train"))) * min(classes, 20) * 1e-4

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: Answering all alike is already perfect, or the answers are not finite.
        """
        if subject.task.kind == "clustering":
            return _clusters(self.card, subject, context)
        if subject.task.kind == "generation":
            return _generated(self.card, subject, context)
        return _compared(self.card, subject, context)


def _compared(card: Card, subject: Subject, context: Context) -> Finding:
    task, pair, found = subject.task, scored(subject, "test"), baselines(subject)
    own = errors(task, pair.targets, pair.answer)
    alike = found[0]
    lift = share_removed(own, errors(task, pair.targets, alike.answer))
    estimates: dict[str, Estimate] = {"score": pair.estimate, "lift": lift}
    estimates |= {one.name.replace(" ", "_"): one.test for one in found}
    unproven = lift.low <= 0 and lift.value < LITTLE
    if unproven:
        estimates["proven_lift"] = exact(lift.low, n=lift.n)
    best = best_of(found)
    estimates["over_best_baseline"] = score_difference(own, errors(task, pair.targets, best.answer))
    classes = class_table(task, pair)
    estimates |= {f"recall {one.name}": one.recall for one in classes[:30] if one.recall}
    claim = _claim(subject, pair, found, best, estimates)
    treatments = card.may_help
    if unproven or lift.high <= context.lines["lift"].warn:
        words, treatments = _nothing_learned(subject, pair, found)
        claim += f" {words}"
    lines = {name: line for name, line in context.lines.items() if name != "lift" or not unproven}
    return conclude(
        card,
        claim,
        estimates,
        lines,
        where=_weak_classes(classes, pair),
        worst_samples=worst_samples(subject, pair),
        figures=(side_by_side(task, pair.estimate, found), *figures_of(task, pair, classes)),
        treatments=treatments,
        assumptions=(
            "Test samples are independent of each other and of the training part (see split-leakage).",
            f"Simple methods learned from {count_of(alike.n, 'sample')} of the training part.",
        ),
    )


def _claim(
    subject: Subject, pair: Scored, found: Sequence[Baseline], best: Baseline, estimates: dict[str, Estimate]
) -> str:
    task, own = subject.task, pair.estimate
    beside = ", ".join(f"{one.name} {score_text(task, one.test.value)}" for one in found)
    margin = estimates["over_best_baseline"]
    claim = (
        f"The {score_name(task)} is {with_interval(task, own)} on {count_of(len(pair.answer), 'test sample')}; "
        f"{beside}. Against {best.name} that is {points(task, margin)}"
    )
    if task.classifies:
        right, other = pair.answer.argmax(1) == pair.targets, best.answer.argmax(1) == pair.targets
        p = mcnemar_p(int((right & ~other).sum()), int((other & ~right).sum()))
        claim += f", McNemar p = {p:.2g}"
    return claim + "."


def _nothing_learned(subject: Subject, pair: Scored, found: Sequence[Baseline]) -> tuple[str, tuple[str, ...]]:
    """Return what to say of a network that removes next to none of the errors of answering all alike."""
    task = subject.task
    alike = errors(task, pair.targets, found[0].answer)
    gains = {one.name: share_removed(errors(task, pair.targets, one.answer), alike) for one in found[1:]}
    able = [name for name, gain in gains.items() if gain.low > 0 and gain.value >= LITTLE]
    first = f"It is not shown to beat {found[0].name}"
    if able:
        return (
            f"{first}, though that is shown of {able[0]}: there is something to learn, and the network has not "
            "learned it.",
            ("more-epochs", "learning-rate-search", "standardise-inputs", "loss-pairing", "capacity-up"),
        )
    if not gains:
        return f"{first}: unlearnable from these inputs, or not learned.", ("more data", "other inputs")
    return (
        f"{first}, and neither is any simple method: the target looks unlearnable from these inputs (or there are too "
        "few samples), and training longer will not change that.",
        ("more data", "other inputs", "check labels by hand"),
    )


def _weak_classes(classes: Sequence[ClassScores], pair: Scored) -> tuple[str, ...]:
    """Return classes whose recall lies wholly below the overall score, worst first."""
    weak = [one for one in classes if one.recall and one.recall.high < pair.estimate.value]
    weak.sort(key=lambda one: one.recall.value if one.recall else 1.0)
    return tuple(f"{one.name} (recall {percent(one.recall.value)})" for one in weak if one.recall)[:10]


def _clusters(card: Card, subject: Subject, context: Context) -> Finding:
    """Judge assignments in the space of the inputs' features, where the network and k-means can be compared."""
    pair, features = scored(subject, "test"), simple_features(subject)["test"]
    said, other = pair.answer.argmax(1), k_means(subject, "test")
    own, theirs = _silhouettes(features, said), _silhouettes(features, other)
    estimates = {
        "score": pair.estimate,
        "lift": mean(own),
        "k_means": mean(theirs),
        "over_best_baseline": paired_difference(own, theirs),
    }
    claim = (
        f"The silhouette of {len(np.unique(said))} clusters is {bracketed(estimates['lift'])} among the features of "
        f"{count_of(len(said), 'test sample')} ({pair.estimate.value:.3f} in the network's own code); k-means reaches "
        f"{estimates['k_means'].value:.3f}."
    )
    truth = subject.answers("test").targets
    if (truth >= 0).all():
        agreement = bootstrap(_agreement, truth, said, repeats=300)
        theirs_too = _agreement(truth, other)
        estimates["agreement_with_labels"] = agreement
        claim += (
            f" The adjusted Rand index with the labels is {bracketed(agreement)}, that of k-means {theirs_too:.3f}."
        )
    lines = {name: line for name, line in context.lines.items() if name in ("lift", "over_best_baseline")}
    return conclude(card, claim, estimates, lines, treatments=("more-epochs", "capacity-up", "k-means instead"))


def _agreement(truth: np.ndarray, said: np.ndarray) -> float:
    return float(adjusted_rand_score(truth, said))


def _silhouettes(features: np.ndarray, labels: np.ndarray, most: int = 2000) -> np.ndarray:
    labels = labels[:most]
    if not 2 <= len(np.unique(labels)) < len(labels):
        return np.zeros(len(labels))
    with one_thread():
        found: np.ndarray = silhouette_samples(features[:most], labels)
    return found


def _generated(card: Card, subject: Subject, context: Context) -> Finding:
    """Judge generated samples beside those of a normal distribution with the training part's mean and covariance."""
    pair, train = scored(subject, "test"), scored(subject, "train").targets.astype(float)
    rng = np.random.default_rng(0)
    centred = train - train.mean(0)
    # Random mixtures of centred training samples have exactly their covariance, however many features there are.
    normal = train.mean(0) + rng.standard_normal((len(pair.answer), len(train))) @ centred / np.sqrt(len(train))
    simple = score_estimate(subject.task, pair.targets, normal)
    estimates = {"score": pair.estimate, "lift": pair.estimate, "normal_distribution": simple}
    claim = (
        f"Generated samples are as hard to tell from real ones as {bracketed(pair.estimate)} on a scale from 0 (always "
        f"told) to 1 (never), by the nearest neighbours of {count_of(len(pair.answer), 'test sample')}; samples of a "
        f"normal distribution with the training part's covariance reach {simple.value:.3f}."
    )
    lines = {"lift": context.lines["lift"]}
    return conclude(card, claim, estimates, lines, treatments=("more-epochs", "learning-rate-search", "capacity-up"))
