"""Asks how much better the network does on the samples it learned from than on others."""

from dataclasses import dataclass, field

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Bars
from equipoise.core.finding import Finding
from equipoise.core.signature import Task
from equipoise.examine.conclude import conclude
from equipoise.examine.generalisation.accuracy_figures import class_table
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.scoring import sample_losses, scored
from equipoise.examine.subject import Subject
from equipoise.examine.wording import bracketed, points, with_interval
from equipoise.stats.intervals import difference, difference_of_means
from equipoise.stats.metrics import score_name

_CARD = Card(
    id="overfitting",
    theme="generalisation",
    title="Does it do better on what it has seen?",
    why=(
        "A network that does well on its training samples and worse on others has learned those samples, not the "
        "thing. The distance between the two scores is what it will disappoint by if somebody judged it by its "
        "training score, and how much regularisation, augmentation or more data may still win."
    ),
    how=(
        "The score on (at most 4,000 samples of) the training part, in evaluation mode and without augmentation, "
        "minus the score on the test part. Shares are compared with Newcombe's interval for independent samples, "
        "other scores by variance recovery from their bootstrap intervals. The same for the loss of single samples, "
        "with Welch's interval. The test part played no role in training or in the choice of the network that was "
        "kept."
    ),
    verdicts=(
        "pass: the gap is at most 0.08 (8 points). unsure: the interval reaches across 0.08. warn: the whole interval "
        "lies above 0.08. fail: above 0.2."
    ),
    may_help=(
        "early-stopping",
        "weight-decay",
        "dropout",
        "mixup",
        "label-smoothing",
        "exponential-averaging",
        "capacity-down",
        "more data",
    ),
    sources=(
        "R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in "
        "Medicine 1998",
        "G. Y. Zou and A. Donner, Construction of confidence limits about effect measures, Statistics in Medicine 2008",
        "C. Zhang, S. Bengio, M. Hardt, B. Recht and O. Vinyals, Understanding deep learning requires rethinking "
        "generalization, ICLR 2017",
    ),
    lines={"gap": Line(warn=0.08, fail=0.2)},
)


@dataclass(frozen=True, slots=True)
class Overfitting:
    """Ask how much the training score exceeds the test score."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return 0.2 + min(subject.limit, len(subject.part("train"))) * 1e-4

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: A generative pair, which answers no samples.
        """
        task = subject.task
        if task.kind == "generation":
            raise InapplicableError("a generative pair answers no samples, so there is no gap between its answers")
        pairs = {part: scored(subject, part) for part in ("train", "validation", "test")}
        train, test = pairs["train"].estimate, pairs["test"].estimate
        estimates: dict[str, Estimate] = {"gap": difference(train, test), "train_score": train, "test_score": test}
        claim = (
            f"The {score_name(task)} is {with_interval(task, train)} on the training part and "
            f"{with_interval(task, test)} on the test part: a gap of {points(task, estimates['gap'])}."
        )
        losses = {part: sample_losses(subject, part) for part in ("train", "test")}
        seen, unseen = losses["train"], losses["test"]
        if seen is not None and unseen is not None:
            unit = "1" if task.kind in ("regression", "reconstruction") else "nats"
            estimates["loss_gap"] = difference_of_means(unseen, seen, unit)
            claim += (
                f" The loss of a sample is higher by {bracketed(estimates['loss_gap'])}{_unit(task)} on the latter."
            )
        scores = {part: pair.estimate for part, pair in pairs.items()}
        return conclude(
            self.card,
            claim,
            estimates,
            context.lines,
            where=_widest(subject),
            figures=(_bars(task, scores),),
            assumptions=(
                "Training and test samples come from one source, and no sample is in both (see split-leakage).",
            ),
        )


def _unit(task: Task) -> str:
    return " target variances" if task.kind in ("regression", "reconstruction") else " nats"


def _bars(task: Task, scores: dict[str, Estimate]) -> Bars:
    return Bars(
        title="The score on each part",
        value_label=score_name(task),
        labels=tuple(scores),
        values=tuple(one.value for one in scores.values()),
        low=tuple(one.low for one in scores.values()),
        high=tuple(one.high for one in scores.values()),
    )


def _widest(subject: Subject) -> tuple[str, ...]:
    """Return the classes whose recall is surely higher on the training part, widest gap first."""
    seen = {one.name: one.recall for one in class_table(subject.task, scored(subject, "train"))}
    gaps: list[tuple[float, str]] = []
    for one in class_table(subject.task, scored(subject, "test")):
        before = seen.get(one.name)
        if before and one.recall:
            gap = difference(before, one.recall)
            if gap.low > 0:
                gaps.append((gap.value, one.name))
    return tuple(f"{name} (recall lower by {100 * gap:.1f} pt)" for gap, name in sorted(gaps, reverse=True)[:10])
