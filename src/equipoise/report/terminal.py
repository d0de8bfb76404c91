"""Findings as lines of a terminal: worst first, aligned, wrapped, and free of control characters."""

from collections.abc import Iterable

from rich.cells import cell_len

from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.report import Report
from equipoise.report.printable import one_line, shortened, tied

COLOURS = {
    Verdict.FAIL: "1;31",
    Verdict.ERROR: "1;35",
    Verdict.WARN: "33",
    Verdict.UNSURE: "36",
    Verdict.PASS: "32",
    Verdict.SKIPPED: "2",
}
_VERDICT_WIDTH = max(len(one.value) for one in Verdict)
_MOST_NAME, _LEAST_CLAIM, _SHOWN_PLACES = 28, 36, 3


def finding_lines(report: Report, width: int = 100, colour: bool = False) -> str:
    """Return one block a finding, worst verdict first: verdict, question, claim and where.

    Args:
        report: The report.
        width: Columns of the terminal; where it is too narrow for three columns the claim stands below. At least 20.
        colour: Whether to colour the verdict with ANSI sequences; without it the text is plain.

    Returns:
        The lines, joined, without a newline at the end; empty when there is no finding.
    """
    findings = report.worst_first()
    names = [shortened(one_line(finding.question), _MOST_NAME) for finding in findings]
    name_width = max(map(cell_len, names), default=0)
    lines: list[str] = []
    for finding, name in zip(findings, names, strict=True):
        lines += _block(finding, name, name_width, max(width, 20), colour)
    return "\n".join(lines)


def _block(finding: Finding, name: str, name_width: int, width: int, colour: bool) -> list[str]:
    verdict = finding.verdict.value.ljust(_VERDICT_WIDTH)
    if colour:
        verdict = f"\x1b[{COLOURS[finding.verdict]}m{verdict}\x1b[0m"
    indent = _VERDICT_WIDTH + 2 + name_width + 2
    below = width - indent < _LEAST_CLAIM
    if below:
        indent = 4
    claim = wrapped(one_line(finding.claim), width - indent)
    if finding.where:
        claim += wrapped(_where(finding.where), width - indent)
    head = f"{verdict}  {name}{' ' * (name_width - cell_len(name))}"
    if below:
        return [head.rstrip(), *(" " * indent + line for line in claim)]
    first, *rest = claim or [""]
    return [f"{head}  {first}".rstrip(), *(" " * indent + line for line in rest)]


def _where(places: tuple[str, ...]) -> str:
    shown = ", ".join(shortened(one_line(place), 40) for place in places[:_SHOWN_PLACES])
    more = len(places) - _SHOWN_PLACES
    return f"where: {shown}{f' and {more} more' if more > 0 else ''}"


def wrapped(text: str, width: int) -> list[str]:
    """Return the text in lines of at most `width` terminal cells; intervals stay whole, wider words are cut."""
    lines: list[str] = []
    line = ""
    for word in _fitting(tied(text).split(" "), width):
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= width:
            line = joined
        else:
            lines.append(line)
            line = word
    return [one.replace("\u00a0", " ") for one in (*lines, line) if one]


def _fitting(words: Iterable[str], width: int) -> Iterable[str]:
    for word in words:
        rest = word
        while cell_len(rest) > width:
            # At least one character, so that a cell of two columns in a width of one still ends.
            count = max(1, next(n for n in range(len(rest), -1, -1) if cell_len(rest[:n]) <= width))
            yield rest[:count]
            rest = rest[count:]
        if rest:
            yield rest
