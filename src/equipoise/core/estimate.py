"""A number that knows how sure it is, and the verdict that it allows."""

import math
from enum import StrEnum
from typing import Literal, Self

from pydantic import model_validator

from equipoise.core.record import Number, Record


class Verdict(StrEnum):
    """What a question concludes; `severity` orders them from harmless to worst."""

    SKIPPED = "skipped"
    PASS = "pass"
    UNSURE = "unsure"
    WARN = "warn"
    ERROR = "error"
    FAIL = "fail"

    @property
    def severity(self) -> int:
        """Position in the order skipped, pass, unsure, warn, error, fail."""
        return list(Verdict).index(self)


class Estimate(Record):
    """A measured value with its interval.

    Attributes:
        value: The point estimate.
        low: Lower end of the interval; `low <= value`. Equal to `value` for an exact count.
        high: Upper end of the interval; `value <= high`.
        n: Number of independent samples behind it, at least 1.
        unit: `1` for a ratio, `pt` for percentage points, else the unit (`s`, `ms`, `bytes`, `nats`, the target's own).
        level: Confidence level of the interval, in (0, 1]; 1 means exact.
        method: How the interval was found, such as `Wilson` or `bootstrap`.
    """

    value: Number
    low: Number
    high: Number
    n: int
    unit: str = "1"
    level: float = 0.95
    method: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"low <= value <= high, not {self.low!r} <= {self.value!r} <= {self.high!r}")
        if self.n < 1:
            raise ValueError(f"n of at least 1, not {self.n}")
        if not 0 < self.level <= 1:
            raise ValueError(f"a level in (0, 1], not {self.level}")
        return self


def exact(value: float, *, n: int = 1, unit: str = "1") -> Estimate:
    """Return a counted value that has no uncertainty."""
    return Estimate(value=value, low=value, high=value, n=n, unit=unit, level=1.0, method="counted")


class Line(Record):
    """The two thresholds that a verdict is judged by.

    Attributes:
        warn: Beyond it the finding is at least a warning.
        fail: Beyond it the finding is a failure.
        worse: Whether values `above` or `below` the lines are the bad ones.
    """

    warn: float
    fail: float
    worse: Literal["above", "below"] = "above"


def judge(estimate: Estimate, line: Line) -> Verdict:
    """Return the verdict that the whole interval supports.

    `fail` or `warn` only when the whole interval lies beyond that line, `pass` only when the whole interval
    lies on the good side of the warning line, else `unsure`.
    """
    sign = 1.0 if line.worse == "above" else -1.0
    best, worst = sorted((sign * estimate.low, sign * estimate.high))
    if not (math.isfinite(best) or math.isfinite(worst)):
        return Verdict.UNSURE
    if best > sign * line.fail:
        return Verdict.FAIL
    if best > sign * line.warn:
        return Verdict.WARN
    return Verdict.PASS if worst <= sign * line.warn else Verdict.UNSURE


def n_to_settle(estimate: Estimate, line: Line) -> int | None:
    """Return about how many samples would move an `unsure` interval clear of the warning line.

    Only an interval that straddles the warning line is unsure, whichever side is worse. Intervals shrink with the
    square root of n and lose their skew, so half their width must fall below the value's distance to the line. `None`
    when the value lies on the line, where no number of samples settles it, or when the interval has an open end.
    """
    half_width = (estimate.high - estimate.low) / 2
    distance = abs(estimate.value - line.warn)
    if distance == 0 or not math.isfinite(half_width):
        return None
    return max(estimate.n + 1, math.ceil(estimate.n * (half_width / distance) ** 2))
