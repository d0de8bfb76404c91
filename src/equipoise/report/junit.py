"""Findings as JUnit XML, which build servers read: one test case a question."""

from xml.etree import ElementTree as Tree

from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.report import Report
from equipoise.report.numbers import line_text, name_text, shown
from equipoise.report.printable import one_line, printable

_ELEMENTS = {Verdict.FAIL: "failure", Verdict.ERROR: "error", Verdict.SKIPPED: "skipped"}


def junit(report: Report) -> str:
    """Return a JUnit document with one test case a question, in the order asked.

    `fail` becomes a failure, `error` an error, `skipped` and every question that was not examined a skipped test;
    `pass`, `warn` and `unsure` pass, the last two with the claim as `system-out`.
    """
    counts = report.counts()
    totals = {
        "name": _text(report.name),
        "tests": str(len(report.findings) + len(report.not_examined)),
        "failures": str(counts[Verdict.FAIL]),
        "errors": str(counts[Verdict.ERROR]),
        "skipped": str(counts[Verdict.SKIPPED] + len(report.not_examined)),
        "time": _seconds(sum(one.seconds for one in report.findings)),
    }
    root = Tree.Element("testsuites", totals)
    suite = Tree.SubElement(root, "testsuite", totals | {"timestamp": _text(report.created), "id": "0"})
    properties = Tree.SubElement(suite, "properties")
    Tree.SubElement(properties, "property", {"name": "command", "value": _text(report.command)})
    for finding in report.findings:
        _case(suite, finding)
    for missed in report.not_examined:
        case = _empty_case(suite, missed.theme, missed.question, 0.0)
        reason = f"{missed.reason} Ask it with: {missed.command}" if missed.command else missed.reason
        Tree.SubElement(case, "skipped", {"message": _text(reason)})
    Tree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Tree.tostring(root, encoding="unicode") + "\n"


def _case(suite: Tree.Element, finding: Finding) -> None:
    case = _empty_case(suite, finding.theme, finding.question, finding.seconds)
    if finding.verdict in _ELEMENTS:
        outcome = Tree.SubElement(case, _ELEMENTS[finding.verdict], {"message": _text(finding.claim)})
        if finding.verdict is not Verdict.SKIPPED:
            outcome.set("type", finding.verdict.value)
            outcome.text = _details(finding)
    elif finding.verdict in (Verdict.WARN, Verdict.UNSURE):
        Tree.SubElement(case, "system-out").text = f"{finding.verdict.value}: {_details(finding)}"


def _empty_case(suite: Tree.Element, theme: str, question: str, seconds: float) -> Tree.Element:
    attributes = {"classname": f"equipoise.{_text(theme)}", "name": _text(question), "time": _seconds(seconds)}
    return Tree.SubElement(suite, "testcase", attributes)


def _details(finding: Finding) -> str:
    """Return the claim, every judged number with its line, where it holds, and what may help."""
    lines = [finding.claim]
    for name, line in finding.lines.items():
        if name in finding.estimates:
            estimate = finding.estimates[name]
            lines.append(f"{name_text(name)}: {shown(estimate)}, n = {estimate.n:,} ({line_text(line, estimate)})")
    if finding.where:
        lines.append(f"where: {', '.join(finding.where)}")
    if finding.treatments:
        lines.append(f"may help: {', '.join(finding.treatments)}")
    return "\n".join(_text(line) for line in lines)


def _text(text: str) -> str:
    return one_line(printable(text))


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
