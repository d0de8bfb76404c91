import base64
import json

import numpy as np
from page_reader import read_page

from equipoise.core.estimate import Estimate, Verdict
from equipoise.core.figure import Bars, Curves, Gallery, Matrix, Series, Table, Tile
from equipoise.core.finding import Finding
from equipoise.core.report import Report
from equipoise.core.vital import Vital
from equipoise.report.budget import LADDER, MOST_BYTES, embedded_record
from equipoise.report.html import render

RNG = np.random.default_rng(3)


def heavy(findings: int, *, tiles: int, picture_bytes: int, points: int, rows: int) -> Report:
    def one(place: int) -> Finding:
        picture = base64.b64encode(RNG.bytes(picture_bytes)).decode()
        y = tuple(float(value) for value in RNG.normal(size=points))
        return Finding(
            question=f"question-{place}",
            theme="data",
            title=f"Question {place}?",
            verdict=Verdict.WARN,
            claim=f"Claim number {place}.",
            estimates={f"estimate {n}": Estimate(value=0.5, low=0.4, high=0.6, n=9) for n in range(rows)},
            worst_samples=tuple(Tile(caption=f"sample {n}", picture=picture) for n in range(tiles)),
            figures=(
                Gallery(title="pictures", tiles=tuple(Tile(caption=f"{n}", picture=picture) for n in range(tiles))),
                Curves(title="c", x_label="x", y_label="y", series=(Series(name="s", x=tuple(range(points)), y=y),)),
                Table(title="t", columns=("a", "b"), rows=tuple((f"row {n}", "x" * 30) for n in range(rows))),
                Bars(title="b", value_label="v", labels=tuple(map(str, range(rows))), values=(1.0,) * rows),
                Matrix(title="m", row_label="r", column_label="c", rows=("a",), columns=("a",), values=((1.0,),)),
            ),
        )

    steps = tuple(range(points))
    loss = tuple(float(value) for value in RNG.random(points))
    return Report(
        name="heavy",
        created="2026-11-22T14:03:09+00:00",
        command="equipoise run heavy",
        subject=(),
        findings=tuple(one(place) for place in range(findings)),
        vitals=(Vital(name="loss", unit="1", part="train", steps=steps, values=loss, low=loss, high=loss),),
        layers=tuple({"layer": f"body.{n}"} for n in range(rows)),
    )


def _embedded(page: str) -> Report:
    script = next(one for one in read_page(page).walk() if one.attributes.get("id") == "record")
    return Report.read(json.loads("".join(script.text)))


def test_a_page_that_fits_is_whole():
    report = heavy(3, tiles=4, picture_bytes=300, points=100, rows=5)
    page = render(report)
    assert "To stay under 1 MB" not in page
    assert _embedded(page) == report


def test_galleries_give_way_first_and_the_record_stays_whole():
    report = heavy(6, tiles=24, picture_bytes=1300, points=50, rows=5)
    page = render(report)
    assert len(page.encode()) <= MOST_BYTES
    assert "at most 12 samples a gallery" in page
    assert "12 more samples in the record." in page
    assert _embedded(page) == report


def test_a_record_beyond_the_budget_is_cut_and_says_so():
    report = heavy(8, tiles=30, picture_bytes=2500, points=2000, rows=200)
    page = render(report)
    assert len(page.encode()) <= MOST_BYTES
    assert "report.json beside this page is whole" in page
    kept = _embedded(page)
    assert [one.claim for one in kept.findings] == [one.claim for one in report.findings]
    for finding in report.findings:
        assert f'id="{finding.question}"' in page


def test_every_cut_record_is_a_valid_record_and_keeps_judged_numbers():
    report = heavy(2, tiles=30, picture_bytes=100, points=900, rows=60)
    for limits in LADDER:
        cut = embedded_record(report, limits)
        assert Report.read(cut.plain()) == cut
        assert len(cut.findings) == 2
        for vital in cut.vitals:
            assert vital.steps[-1] == 899
            assert max(vital.high) == max(report.vitals[0].high)
            assert min(vital.low) == min(report.vitals[0].low)
