"""Asks whether the network has learned even its training samples as well as could be expected."""

from dataclasses import dataclass, field

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Bars, Curves, Figure
from equipoise.core.finding import Finding
from equipoise.core.stop import StopReason
from equipoise.examine.conclude import conclude
from equipoise.examine.generalisation.baselines import baselines, best_of
from equipoise.examine.loss_history import ENOUGH, last_quarter_fall, loss_curves, loss_of
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.scoring import errors, score_difference, scored
from equipoise.examine.subject import Subject
from equipoise.examine.wording import bracketed, percent, points, score_text, with_interval
from equipoise.stats.intervals import difference
from equipoise.stats.metrics import score_name

_CARD = Card(
    id="underfitting",
    theme="generalisation",
    title="Could it have learned more?",
    why=(
        "A network that does poorly on its own training samples cannot do better on others: it is too small, was "
        "trained too briefly, or is held down by regularisation or a wrong step size. More data will not help it; "
        "more training or more capacity may."
    ),
    how=(
        "`shortfall`: the test score of the best simple method (linear model or boosted trees, chosen on the "
        "validation part) minus the network's score, on its own training part or, paired, on the test part: "
        "whichever shows better that it reaches the bar. Above 0 in both, the network has not even learned its "
        "training samples as well as a simple method answers samples it never saw: a bar that no healthy network "
        "misses. `still_falling`, for a training that ended by plan, time or interruption: how far the validation "
        "loss (with fewer than 8 epochs: the training loss) fell from the third to the last quarter of the training, "
        "as a share of the first training loss, with Welch's interval over the recorded losses. A training that "
        "stopped because nothing improved is not judged by it."
    ),
    verdicts=(
        "pass: it reaches the bar, and its loss had settled. unsure: an interval reaches across a line. warn: over 5 "
        "points below the bar, or the loss was still falling by over 5 % of its first value a quarter. fail: over 15 "
        "points below the bar, or over 20 %."
    ),
    may_help=(
        "more-epochs",
        "learning-rate-search",
        "capacity-up",
        "weaker-penalties",
        "less-dropout",
        "relu",
        "he-initialisation",
        "another architecture",
    ),
    sources=(
        "G. Y. Zou and A. Donner, Construction of confidence limits about effect measures, Statistics in Medicine 2008",
        "I. Goodfellow, Y. Bengio and A. Courville, Deep Learning, MIT Press 2016, section 11.4",
        "original (the bar: a simple method's score on unseen samples)",
    ),
    lines={"shortfall": Line(warn=0.05, fail=0.15), "still_falling": Line(warn=0.05, fail=0.2)},
)


@dataclass(frozen=True, slots=True)
class Underfitting:
    """Ask whether the training score reaches what a simple method reaches on unseen samples."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        classes = max(1, len(subject.task.classes))
        return 0.8 + min(2000, len(subject.part("train"))) * min(classes, 20) * 1e-4

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: A task without a baseline to compare with.
        """
        task = subject.task
        found = baselines(subject)
        if not found:
            raise InapplicableError(f"no simple method predicts the same thing for {task.kind}, so there is no bar")
        best, train, test = best_of(found), scored(subject, "train").estimate, scored(subject, "test")
        behind = {
            "training": difference(best.test, train),
            "test": score_difference(errors(task, test.targets, best.answer), errors(task, test.targets, test.answer)),
        }
        # Reaching the bar on either part is enough, and both intervals hold by themselves.
        part = min(behind, key=lambda name: behind[name].high)
        estimates: dict[str, Estimate] = {"shortfall": behind[part], "train_score": train, "bar": best.test}
        claim = (
            f"The {score_name(task)} is {with_interval(task, train)} on its own training part and "
            f"{score_text(task, test.estimate.value)} on the test part, where the bar ({best.name}) is "
            f"{score_text(task, best.test.value)}: a shortfall of {points(task, behind[part])} on the {part} part."
        )
        figures: list[Figure] = [
            Bars(
                title="Learned against what a simple method shows can be learned",
                value_label=score_name(task),
                labels=("network, training part", f"{best.name}, test part"),
                values=(train.value, best.test.value),
                low=(train.low, best.test.low),
                high=(train.high, best.test.high),
            )
        ]
        fall = _still_falling(subject)
        if fall is not None:
            name, estimates["still_falling"], curve = fall
            claim += (
                f" The {name} loss fell by {percent(estimates['still_falling'].value)} of its first value from the "
                f"third to the last quarter of the training ({bracketed(estimates['still_falling'])})."
            )
            figures.append(curve)
        return conclude(
            self.card, claim, estimates, context.lines, figures=figures, assumptions=(_history_note(subject, fall),)
        )


def _history_note(subject: Subject, fall: object) -> str:
    if subject.fit is None:
        return "Trained elsewhere: whether its loss was still falling is not known."
    if fall is not None:
        return (
            "The last quarter says where the loss was going; a schedule that lowers the step size flattens any curve."
        )
    return f"Whether the loss was still falling was not judged: the training ended as {subject.fit.stopped.value!r}."


def _still_falling(subject: Subject) -> tuple[str, Estimate, Curves] | None:
    """Return which loss, how far it fell over the last quarter, and the curves; None where that says nothing."""
    judged = (StopReason.FINISHED, StopReason.TIME_BUDGET, StopReason.INTERRUPTED)
    if subject.fit is None or subject.fit.stopped not in judged:
        return None
    train, validation = (loss_of(subject.fit.vitals, part) for part in ("train", "validation"))
    if train is None:
        return None
    use = validation if validation is not None and len(validation.values) >= ENOUGH else train
    fall = last_quarter_fall(use, train.values[0])
    return (use.part, fall, loss_curves(train, validation)) if fall else None
