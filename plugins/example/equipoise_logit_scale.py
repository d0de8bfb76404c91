"""A third-party question in one file: are the network's logits so large that probabilities are 0 or 1 in float32?"""

from dataclasses import dataclass

from equipoise.core.estimate import Line
from equipoise.core.finding import Finding
from equipoise.examine.conclude import conclude
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.stats.intervals import proportion_of

CARD = Card(
    id="x-logit-scale",
    theme="stability",
    title="Are the logits too large for float32?",
    why="Beyond a span of about 88, a float32 softmax is exactly 0 or 1 and its gradient is exactly zero.",
    how="The share of test samples whose largest and smallest logit lie further apart, with a Wilson interval.",
    verdicts="pass: such samples are rare. warn, fail: attacks, calibration and fine-tuning meet zero gradients.",
    may_help=("label smoothing", "weight decay", "temperature"),
    sources=("original",),
    lines={"saturated_share": Line(warn=0.05, fail=0.25)},
)


@dataclass(frozen=True)
class LogitScale:
    """Share of test samples whose logits span more than `span`."""

    span: float = 80.0
    card: Card = CARD

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds it takes: the network's answers are computed once for all questions."""
        return 1e-5 * len(subject.part("test"))

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding."""
        if subject.task.kind != "multiclass":
            raise InapplicableError(f"the task is {subject.task.kind}; logits are compared for several classes")
        scores = subject.answers("test").scores
        share = proportion_of(scores.max(1) - scores.min(1) > self.span)
        claim = f"{100 * share.value:.1f} % of {share.n:,} test samples have logits that span more than {self.span:g}."
        return conclude(self.card, claim, {"saturated_share": share}, context.lines)


LOGIT_SCALE = LogitScale()
QUESTIONS = (LOGIT_SCALE,)
"""What `--plugin FILE` looks for."""
