"""How numbers are written in claims."""

from equipoise.core.estimate import Estimate
from equipoise.core.signature import Task

SHARES = frozenset({"binary", "multiclass", "multilabel", "sequence-labelling"})


def percent(share: float, digits: int = 1) -> str:
    """Return a share as a percentage, such as `98.3 %`."""
    return f"{_zero(100 * share, digits)} %"


def score_text(task: Task, value: float) -> str:
    """Return a score as people read it: a percentage where it counts samples, else a number."""
    return percent(value) if task.kind in SHARES else _zero(value, 3)


def with_interval(task: Task, estimate: Estimate) -> str:
    """Return a score with its interval in brackets, such as `98.3 % [96.4, 99.2]`."""
    return percent_bracketed(estimate) if task.kind in SHARES else bracketed(estimate)


def percent_bracketed(estimate: Estimate, digits: int = 1) -> str:
    """Return a share with its interval in brackets, such as `98.3 % [96.4, 99.2]`."""
    return f"{percent(estimate.value, digits)} [{100 * estimate.low:.{digits}f}, {100 * estimate.high:.{digits}f}]"


def bracketed(estimate: Estimate, digits: int = 3) -> str:
    """Return a value with its interval in brackets, such as `0.031 [0.004, 0.058]`."""
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def points(task: Task, estimate: Estimate) -> str:
    """Return a difference of scores with its interval: in percentage points where scores are percentages."""
    if task.kind in SHARES:
        return f"{100 * estimate.value:+.1f} pt [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _zero(value: float, digits: int) -> str:
    """Return a number with so many digits, without a sign when they are all 0."""
    shown = f"{value:.{digits}f}"
    return shown.lstrip("-") if not shown.strip("-0.") else shown


def count_of(n: int, noun: str) -> str:
    """Return a count with its noun, such as `1 sample` or `1,257 samples`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
