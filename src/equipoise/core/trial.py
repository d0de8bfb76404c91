"""The record of a paired trial: does a treatment help on this plan?"""

from pydantic import Field

from equipoise.core.estimate import Estimate
from equipoise.core.record import Number, Record


class Trial(Record):
    """The outcome of training with and without one difference on the same seeds.

    Attributes:
        treatment: Id of the treatment.
        metric: What was compared, measured on validation data.
        seeds: The seeds of both arms, in order.
        differences: Treated minus untreated, one a seed.
        effect: Mean difference with its interval.
        p_value: Exact two-sided sign-flip p-value, in (0, 1].
        guards: Metrics that must not get worse, as differences with intervals.
        adopted: Whether the rule fixed beforehand adopts the treatment.
        reason: The rule and how it was met or missed, in one sentence.
    """

    treatment: str
    metric: str
    seeds: tuple[int, ...]
    differences: tuple[Number, ...]
    effect: Estimate
    p_value: float
    guards: dict[str, Estimate] = Field(default_factory=dict)
    adopted: bool
    reason: str
