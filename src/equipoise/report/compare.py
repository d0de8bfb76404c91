"""Two reports beside each other: what was changed, which verdicts moved, and by how much each number differs."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from equipoise.core.estimate import Estimate, Line, Verdict
from equipoise.core.record import Record
from equipoise.core.report import Report
from equipoise.report.numbers import name_text, shown
from equipoise.report.printable import one_line, shortened
from equipoise.report.terminal import wrapped

_ABSENT = "(absent)"


class Change(Record):
    """One value that differs: its dotted name and both values as text, `(absent)` where a side has none."""

    name: str
    left: str
    right: str


class VerdictChange(Record):
    """A question whose verdict differs, or that only one side answered (that side's verdict, the other `None`)."""

    question: str
    left: Verdict | None
    right: Verdict | None
    change: Literal["better", "worse", "other"]
    claim: str


class Difference(Record):
    """How much one number differs.

    Attributes:
        question: Id of the question.
        name: Name of the estimate.
        left: Its value in the first report.
        right: Its value in the second.
        difference: Second minus first, with its interval.
        change: `better` or `worse` when the interval leaves out zero and the estimate has a line that says which
            side is worse, `different` when there is no such line, else `unclear`.
    """

    question: str
    name: str
    left: Estimate
    right: Estimate
    difference: Estimate
    change: Literal["better", "worse", "different", "unclear"]


class Comparison(Record):
    """What differs between two reports.

    Attributes:
        left: Name and time of the first report.
        right: Name and time of the second.
        plan: Plan values that differ, by dotted name.
        facts: Facts of the subject card that differ, as `section: fact`.
        verdicts: Questions whose verdict differs, worst new verdict first.
        differences: Every number that both have, in the order of the second report.
        notes: How the intervals were made, and what could not be compared.
    """

    left: str
    right: str
    plan: tuple[Change, ...]
    facts: tuple[Change, ...]
    verdicts: tuple[VerdictChange, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]


def compare(left: Report, right: Report) -> Comparison:
    """Return what differs from the first report to the second.

    Each number's difference has an interval by the square-root rule for independent estimates (Zou and Donner,
    Statistics in Medicine 2008; for two proportions it is Newcombe's hybrid score interval, 1998). When both reports
    measured on the same samples the true interval is usually narrower.
    """
    differences, notes = _differences(left, right)
    return Comparison(
        left=_title(left),
        right=_title(right),
        plan=_changes(flattened(left.plan), flattened(right.plan)),
        facts=_changes(_facts(left), _facts(right)),
        verdicts=_verdicts(left, right),
        differences=tuple(differences),
        notes=tuple(notes),
    )


def difference(left: Estimate, right: Estimate) -> Estimate:
    """Return right minus left with its interval, the two taken as independent.

    With distances from each value to its own ends, the ends of the difference lie at the square root of the sum of
    their squares (method of variance estimates recovery).

    Raises:
        ValueError: The units differ.
    """
    if left.unit != right.unit:
        raise ValueError(
            f"got units {left.unit!r} and {right.unit!r}; expected one unit. Compare numbers of the same unit."
        )
    value = right.value - left.value
    if not math.isfinite(value):
        raise ValueError(f"got {right.value} minus {left.value}; expected finite values. Leave this number out.")
    counted = left.low == left.high and right.low == right.high
    return Estimate(
        value=value,
        low=value - math.hypot(right.value - right.low, left.high - left.value),
        high=value + math.hypot(right.high - right.value, left.value - left.low),
        n=min(left.n, right.n),
        unit=left.unit,
        level=1.0 if counted else min(one.level for one in (left, right) if one.low < one.high),
        method="counted" if counted else _method(left, right),
    )


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested plain values by dotted name; a list is one value."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{name}.")
        else:
            flat[name] = str(value)
    return flat


def comparison_text(comparison: Comparison, width: int = 100) -> str:
    """Return the comparison as plain text: what was changed, verdicts that moved, numbers that differ, notes."""
    lines = [f"{one_line(comparison.left)}  →  {one_line(comparison.right)}"]
    for title, changes in (("plan", comparison.plan), ("subject", comparison.facts)):
        if changes:
            rows = [(one.name, f"{_short(one.left)} → {_short(one.right)}") for one in changes]
            lines += ["", title, *_aligned(rows, width)]
    if comparison.verdicts:
        moved = [(one.question, f"{_word(one.left)} → {_word(one.right)}: {one.claim}") for one in comparison.verdicts]
        lines += ["", "verdicts", *_aligned(moved, width)]
    clear = [one for one in comparison.differences if one.change != "unclear"]
    lines += ["", f"numbers: {len(clear)} of {len(comparison.differences)} clearly differ"]
    lines += _aligned([(f"{one.question}: {name_text(one.name)}", _numbers(one)) for one in clear], width)
    for note in comparison.notes:
        lines += ["", *wrapped(one_line(note), width)]
    return "\n".join(lines)


def _differences(left: Report, right: Report) -> tuple[list[Difference], list[str]]:
    earlier = {finding.question: finding for finding in left.findings}
    found: list[Difference] = []
    skipped: list[str] = []
    for finding in right.findings:
        before = earlier.get(finding.question)
        for name, estimate in finding.estimates.items():
            other = before.estimates.get(name) if before else None
            if other is None:
                continue
            try:
                changed = difference(other, estimate)
            except ValueError:
                skipped.append(f"{finding.question}: {name_text(name)}")
                continue
            found.append(
                Difference(
                    question=finding.question,
                    name=name,
                    left=other,
                    right=estimate,
                    difference=changed,
                    change=_judged(changed, finding.lines.get(name)),
                )
            )
    return found, _notes(found, skipped)


def _notes(found: list[Difference], skipped: list[str]) -> list[str]:
    notes = []
    measured = sum(one.difference.low < one.difference.high for one in found)
    if measured:
        notes.append(
            "Intervals of differences combine those of both sides by the square-root rule for independent samples; "
            f"of {measured} numbers compared at 95 %, about {max(1, round(0.05 * measured))} would differ by chance."
        )
    if skipped:
        notes.append(f"Not compared, since unit or finiteness differs: {', '.join(skipped)}.")
    return notes


def _judged(changed: Estimate, line: Line | None) -> Literal["better", "worse", "different", "unclear"]:
    if changed.low <= 0.0 <= changed.high:
        return "unclear"
    if line is None:
        return "different"
    return "worse" if (changed.value > 0) == (line.worse == "above") else "better"


def _verdicts(left: Report, right: Report) -> tuple[VerdictChange, ...]:
    before = {finding.question: finding for finding in left.findings}
    after = {finding.question: finding for finding in right.findings}
    changes = []
    for question in dict.fromkeys((*after, *before)):
        old, new = before.get(question), after.get(question)
        if old and new and old.verdict is new.verdict:
            continue
        shown_finding = new or old
        changes.append(
            VerdictChange(
                question=question,
                left=old.verdict if old else None,
                right=new.verdict if new else None,
                change=_direction(old.verdict if old else None, new.verdict if new else None),
                claim=shown_finding.claim if shown_finding else "",
            )
        )
    return tuple(sorted(changes, key=lambda one: -one.right.severity if one.right else 1))


def _direction(old: Verdict | None, new: Verdict | None) -> Literal["better", "worse", "other"]:
    """Return which way a verdict moved; to and from `skipped` and `error` nothing is known."""
    unknown = (None, Verdict.SKIPPED, Verdict.ERROR)
    if old in unknown or new in unknown or old is None or new is None:
        return "other"
    return "worse" if new.severity > old.severity else "better"


def _changes(left: Mapping[str, str], right: Mapping[str, str]) -> tuple[Change, ...]:
    names = dict.fromkeys((*left, *right))
    return tuple(
        Change(name=name, left=left.get(name, _ABSENT), right=right.get(name, _ABSENT))
        for name in names
        if left.get(name, _ABSENT) != right.get(name, _ABSENT)
    )


def _facts(report: Report) -> dict[str, str]:
    return {f"{part.title}: {name}": value for part in report.subject for name, value in part.facts.items()}


def _title(report: Report) -> str:
    return f"{report.name} ({report.created})"


def _method(left: Estimate, right: Estimate) -> str:
    # The rule applied to two Wilson intervals is Newcombe's, which is also shown in percentage points.
    both = {one.method for one in (left, right) if one.low < one.high}
    return "Newcombe" if both == {"Wilson"} else "square-root rule"


def _numbers(one: Difference) -> str:
    word = {"better": " (better)", "worse": " (worse)"}.get(one.change, "")
    return f"{shown(one.difference)}{word}, from {shown(one.left).value} to {shown(one.right).value}"


def _word(verdict: Verdict | None) -> str:
    return verdict.value if verdict else "not asked"


def _short(text: str) -> str:
    return shortened(one_line(text), 60)


def _aligned(rows: list[tuple[str, str]], width: int) -> list[str]:
    names = [shortened(one_line(name), 44) for name, _ in rows]
    indent = max(map(len, names), default=0) + 4
    lines: list[str] = []
    for name, (_, text) in zip(names, rows, strict=True):
        first, *rest = wrapped(one_line(text), max(20, width - indent)) or [""]
        lines += [f"  {name.ljust(indent - 4)}  {first}".rstrip(), *(" " * indent + line for line in rest)]
    return lines
