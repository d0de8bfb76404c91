import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from equipoise.report.terminal import finding_lines, wrapped

GOLDEN = Path(__file__).parent / "goldens" / "findings.txt"


def test_golden(report):
    expected = GOLDEN.read_text(encoding="utf-8")
    assert finding_lines(report) + "\n" == expected, f"If this is the new look, write finding_lines(...) to {GOLDEN}."


@pytest.mark.parametrize("width", [20, 44, 80, 100, 160])
def test_every_line_fits_and_every_word_is_there(report, width):
    text = finding_lines(report, width=width)
    assert max(cell_len(line) for line in text.splitlines()) <= max(width, 46 if width == 20 else 0) + 4
    assert "\x1b" not in text
    for finding in report.findings:
        assert finding.question in text
    assert [line.split()[0] for line in text.splitlines() if re.match(r"\w", line)] == [
        finding.verdict.value for finding in report.worst_first()
    ]


def test_colour_adds_nothing_but_sequences(report):
    coloured = finding_lines(report, colour=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == finding_lines(report)
    assert coloured.count("\x1b[0m") == len(report.findings)


def test_escape_sequences_in_claims_are_disarmed(report):
    finding = report.findings[0].model_copy(update={"claim": "a\x1b[2Jb", "question": "q\x1b]0;x\x07"})
    assert "\x1b" not in finding_lines(report.model_copy(update={"findings": (finding,)}))
    assert finding_lines(report.model_copy(update={"findings": ()})) == ""


def test_wrapped_keeps_intervals_whole_and_counts_wide_characters():
    assert wrapped("by 0.071 [0.054, 0.088] here", 16) == ["by 0.071", "[0.054, 0.088]", "here"]
    assert wrapped("測試測試 a", 4) == ["測試", "測試", "a"]
    assert wrapped("測", 1) == ["測"]
    assert wrapped("", 10) == []
