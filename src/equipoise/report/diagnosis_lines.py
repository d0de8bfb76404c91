"""A diagnosis as lines of a terminal: verdict, causes with their evidence and cure, what was seen, and what was not."""

from collections.abc import Iterable

from equipoise.core.diagnosis import Cause, Diagnosis, Symptom
from equipoise.core.estimate import Verdict
from equipoise.core.faults import FAULTS
from equipoise.report.printable import one_line
from equipoise.report.terminal import COLOURS, wrapped

SHOWN = (Verdict.FAIL, Verdict.ERROR, Verdict.WARN, Verdict.UNSURE)
"""Verdicts of probes that are shown one by one; passes are only counted."""
_VERDICT, _NAME, _LEAST = 8, 26, 40


def diagnosis_lines(found: Diagnosis, *, interrupted: bool = False, width: int = 100, colour: bool = False) -> str:
    """Return a diagnosis with its evidence.

    Args:
        found: The diagnosis.
        interrupted: Whether it was cut off.
        width: Columns of the terminal.
        colour: Whether verdicts are coloured with ANSI sequences; without it the text is plain.

    Returns:
        The lines, joined, without a newline at the end; sections without content are left out.
    """
    wide = max(width, _VERDICT + 2 + _NAME + 2 + _LEAST)
    sections = (
        [verdict_line(found, interrupted=interrupted, colour=colour)],
        *(_cause(rank, cause, wide) for rank, cause in enumerate(found.causes, 1)),
        _probes(found.symptoms, wide, colour),
        _scores(found.score),
        _skipped(found.skipped, wide),
    )
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def diagnosis_summary(found: Diagnosis, *, interrupted: bool = False, colour: bool = False) -> str:
    """Return the verdict, and one line a cause with its cure."""
    lines = [verdict_line(found, interrupted=interrupted, colour=colour)]
    for rank, cause in enumerate(found.causes, 1):
        lines.append(f"{rank}. {_named(cause)}: {one_line(cause.treatment)}")
    return "\n".join(lines)


def verdict_line(found: Diagnosis, *, interrupted: bool = False, colour: bool = False) -> str:
    """Return the verdict in one line: healthy, sick, or unsure with the reason."""
    took = f"({found.seconds:.1f} s)"
    cut = "interrupted; " if interrupted else ""
    if found.causes:
        first, *others = found.causes
        more = f", and {len(others)} more" if others else ""
        return f"{_painted('sick', Verdict.FAIL, colour)}  {cut}{_named(first)}{more} {took}"
    if not found.healthy:
        kind = Verdict.UNSURE if found.verdict == "unsure" else Verdict.FAIL
        return f"{_painted(found.verdict, kind, colour)}  {cut}{one_line(found.reason)} {took}"
    return f"{_painted('healthy', Verdict.PASS, colour)}  nothing was found that is worth a change {took}"


def _named(cause: Cause) -> str:
    return f"{cause.fault} at {one_line(cause.where)}, {cause.confidence:.0%} sure"


def _cause(rank: int, cause: Cause, width: int) -> list[str]:
    title = FAULTS[cause.fault].title if cause.fault in FAULTS else ""
    lines = [f"{rank}. {_named(cause)}{f': {title}' if title else ''}"]
    for sentence in cause.evidence:
        lines += _hung("   - ", one_line(sentence), width)
    return lines + _hung("   cure: ", one_line(cause.treatment), width)


def _probes(symptoms: Iterable[Symptom], width: int, colour: bool) -> list[str]:
    seen = tuple(symptoms)
    if not seen:
        return []
    counts = {verdict: sum(one.verdict is verdict for one in seen) for verdict in (*SHOWN, Verdict.PASS)}
    lines = ["probes    " + ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)]
    for one in seen:
        if one.verdict not in SHOWN:
            continue
        verdict = _painted(one.verdict.value, one.verdict, colour)
        where = f" where: {', '.join(one_line(place) for place in one.where)}" if one.where else ""
        text = wrapped(one_line(one.claim) + where, width - _VERDICT - _NAME - 4)
        lines.append(f"{verdict}  {one_line(one.name):<{_NAME}}  {text[0]}")
        lines += [" " * (_VERDICT + _NAME + 4) + line for line in text[1:]]
    return lines


def _scores(score: dict[str, float]) -> list[str]:
    if not score:
        return []
    longest = max(len(one_line(name)) for name in score)
    rows = [f"          {one_line(name):<{longest}}  {value:6.2f}" for name, value in score.items()]
    return ["runs      skill: 1 is perfect, 0 is what the best constant answer scores", *rows]


def _skipped(skipped: dict[str, str], width: int) -> list[str]:
    named: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        named.setdefault(one_line(reason).removeprefix("Not measured: "), []).append(one_line(name))
    lines: list[str] = []
    for reason, names in named.items():
        lines += _hung(f"{'' if lines else 'skipped':<{_VERDICT}}  ", f"{', '.join(names)}: {reason}", width)
    return lines


def _hung(start: str, text: str, width: int) -> list[str]:
    first, *rest = wrapped(text, width - len(start)) or [""]
    return [f"{start}{first}".rstrip(), *(" " * len(start) + line for line in rest)]


def _painted(text: str, verdict: Verdict, colour: bool) -> str:
    padded = f"{text:<{_VERDICT}}"
    return f"\x1b[{COLOURS[verdict]}m{padded}\x1b[0m" if colour else padded
