"""The record of a course of treatment: what was tried on a plan, in which order, and what came of it."""

from typing import Any

from pydantic import Field

from equipoise.core.estimate import Estimate
from equipoise.core.record import Number, Record
from equipoise.core.trial import Trial


class Prescription(Record):
    """A treatment that is worth a trial.

    Attributes:
        treatment: Id of the treatment.
        title: What is done, in a few words.
        question: Id of the question whose finding it answers, a fault it cures, or empty.
        why: One sentence: what was found, or why it is tried without a finding.
        promise: Severity of the finding times how often such a treatment helps, in [0, 1]; the order of trials.
        control: Whether it was drawn at random, as what the prescription is compared with.
    """

    treatment: str
    title: str
    question: str = ""
    why: str
    promise: float
    control: bool = False


class LeftOut(Record):
    """A treatment that was not tried.

    Attributes:
        treatment: Id of the treatment.
        reason: Why not.
    """

    treatment: str
    reason: str


class Comparison(Record):
    """The plan before and after, on test parts that nothing was decided on.

    Attributes:
        metric: What was compared; higher is better.
        seeds: Seeds that no trial had seen.
        before: Score of the plan as it was, one a seed.
        after: Score of the adopted plan, one a seed.
        difference: Mean of after minus before, with its interval.
        aims: The same for what adopted treatments were to improve beside the score, by name.
    """

    metric: str
    seeds: tuple[int, ...]
    before: tuple[Number, ...]
    after: tuple[Number, ...]
    difference: Estimate
    aims: dict[str, Estimate] = Field(default_factory=dict)


class Course(Record):
    """A course of treatment.

    Attributes:
        before: The plan that was treated, as plain values.
        after: The plan with everything that was adopted; the same where nothing was.
        looks: Numbers of seeds at which a trial is looked at, fixed before the first.
        prescriptions: What was tried, one a trial, in order.
        trials: What came of it; the level of each is what the false-discovery control granted it.
        left_out: What was not tried, and why.
        comparison: Before and after on fresh seeds; None where nothing was adopted, or it was cut off before.
        training_s: Seconds of one training of the plan with everything that was adopted so far; 0 until that is known.
        seeds_used: Seeds from the plan's own on that trials have used.
        budget_s: Seconds it was given.
        seconds: Seconds it took.
        finished: Whether it came to its end; else it can be gone on with.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    looks: tuple[int, ...] = ()
    prescriptions: tuple[Prescription, ...] = ()
    trials: tuple[Trial, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    comparison: Comparison | None = None
    training_s: float = 0.0
    seeds_used: int = 0
    budget_s: float = 0.0
    seconds: float = 0.0
    finished: bool = False

    @property
    def adopted(self) -> tuple[str, ...]:
        """Ids of the treatments that were adopted, in order."""
        return tuple(trial.treatment for trial in self.trials if trial.adopted)

    @property
    def decided(self) -> int:
        """How many trials ended with anything but `unsure`."""
        return sum(trial.outcome != "unsure" for trial in self.trials)
