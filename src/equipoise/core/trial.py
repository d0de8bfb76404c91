"""The record of a paired trial: does a treatment help on this plan?"""

from typing import Literal

from pydantic import Field

from equipoise.core.estimate import Estimate
from equipoise.core.record import Number, Record

Outcome = Literal["adopted", "harmful", "no difference", "unsure"]
"""What a trial ends with; `no difference` means inside the stated margin."""


class Trial(Record):
    """The outcome of training with and without one difference on the same seeds.

    Attributes:
        treatment: Id of the treatment.
        metric: What was compared, measured on validation data; higher is better.
        seeds: The seeds of both arms, in order.
        differences: Treated minus untreated, one a seed, at equal counted cost.
        effect: Mean difference with its interval, at equal counted cost.
        at_equal_steps: The same with as many steps for both; None where that is the same training.
        p_value: Exact two-sided p-value of the sequential sign-flip test, in (0, 1].
        level: The p-value at which the trial could decide.
        margin: Differences smaller than this do not matter.
        cost_ratio: Counted cost (forward + 2 x backward operations) of a treated epoch by that of an untreated one.
        seconds: Wall-clock seconds of a training in the median, untreated and treated.
        guards: Metrics that must not get worse, as differences with intervals; higher is better.
        outcome: What the rule fixed beforehand says.
        reason: The rule and how it was met or missed, in one sentence.
    """

    treatment: str
    metric: str
    seeds: tuple[int, ...]
    differences: tuple[Number, ...]
    effect: Estimate
    at_equal_steps: Estimate | None = None
    p_value: float
    level: float = 0.05
    margin: float = 0.0
    cost_ratio: float = 1.0
    seconds: tuple[float, float] = (0.0, 0.0)
    guards: dict[str, Estimate] = Field(default_factory=dict)
    outcome: Outcome
    reason: str

    @property
    def adopted(self) -> bool:
        """Whether the rule adopts the treatment."""
        return self.outcome == "adopted"
