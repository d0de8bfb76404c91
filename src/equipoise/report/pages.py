"""The files that people and machines read, written from the record."""

from pathlib import Path

from equipoise.core.atomic import write_text
from equipoise.core.report import Report
from equipoise.report.html import render
from equipoise.report.junit import junit


def write_pages(report: Report, folder: Path) -> Path:
    """Write `report.html` and `junit.xml` into a folder, each atomically; return the page's path."""
    page = folder / "report.html"
    write_text(page, render(report))
    write_text(folder / "junit.xml", junit(report))
    return page
