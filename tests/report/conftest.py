import pytest
from report_sample import sample_report

from equipoise.core.report import Report
from equipoise.report.html import render


@pytest.fixture(scope="session")
def report() -> Report:
    return sample_report()


@pytest.fixture(scope="session")
def page(report: Report) -> str:
    return render(report)
