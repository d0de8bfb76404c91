"""The verbs `report` and `compare`: from the records alone, without torch."""

import json
from pathlib import Path

from equipoise.core.report import Report
from equipoise.report.compare import compare, comparison_text
from equipoise.report.pages import write_pages


def render_again(directory: Path) -> str:
    """Write `report.html` and `junit.xml` of a run folder again and return the page's path.

    Raises:
        FileNotFoundError: The folder holds no report.
    """
    return str(write_pages(_report(directory), directory))


def compare_runs(left: Path, right: Path, *, as_json: bool) -> str:
    """Return the differences between two runs, as text or JSON."""
    comparison = compare(_report(left), _report(right))
    if as_json:
        return json.dumps(comparison.plain(), indent=2, ensure_ascii=False)
    return comparison_text(comparison)


def _report(directory: Path) -> Report:
    path = directory / "report.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"got {str(directory)!r}, which holds no report.json; expected the folder of a finished run. "
            "Name one, or finish it with: equipoise run --resume DIR"
        )
    return Report.load(path)
