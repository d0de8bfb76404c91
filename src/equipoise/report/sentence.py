"""The verdict on the whole network, in one sentence."""

from equipoise.core.estimate import Verdict
from equipoise.core.report import Report
from equipoise.report.numbers import plural

_VERBS = {
    Verdict.FAIL: ("fails", "fail"),
    Verdict.ERROR: ("ended in an error", "ended in an error"),
    Verdict.WARN: ("warns", "warn"),
    Verdict.UNSURE: ("is unsure", "are unsure"),
    Verdict.PASS: ("passes", "pass"),
}


def verdict_sentence(report: Report) -> str:
    """Return one sentence with the counts, worst verdict first; skipped questions are named as not answered.

    Example:
        `Of 24 questions asked, 2 fail, 3 warn, 4 are unsure and 15 pass.`
    """
    counts = report.counts()
    asked = sum(count for verdict, count in counts.items() if verdict is not Verdict.SKIPPED)
    if not asked:
        return "No question was answered, so nothing is known about this network."
    parts = [f"{counts[verdict]} {verbs[counts[verdict] != 1]}" for verdict, verbs in _VERBS.items() if counts[verdict]]
    if len(parts) == 1 and counts[Verdict.PASS] == asked:
        return f"All {plural(asked, 'question')} asked pass." if asked > 1 else "The one question asked passes."
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"Of {plural(asked, 'question')} asked, {listed}."
