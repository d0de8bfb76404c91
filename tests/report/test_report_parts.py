import base64
import io
import math
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Bars, Curves, Matrix, Series, Tile
from equipoise.core.vital import Vital
from equipoise.report.chapters import paragraphs, table_view
from equipoise.report.curves import MOST_POINTS, draw
from equipoise.report.history import history
from equipoise.report.links import pieces
from equipoise.report.marks import bars, whisker
from equipoise.report.matrix import matrix_view
from equipoise.report.printable import one_line, printable, shortened
from equipoise.report.sentence import verdict_sentence
from equipoise.report.thinning import thinned
from equipoise.report.tile_view import tile_view


def test_thinned_keeps_peaks_ends_of_bands_and_gaps():
    rng = np.random.default_rng(0)
    y = rng.normal(size=5000)
    y[1234], y[4321], y[100:103] = 99.0, -99.0, math.nan
    series = Series(name="s", x=tuple(range(5000)), y=tuple(y), low=tuple(y - 1), high=tuple(y + 1))
    thin = thinned(series, 600)
    assert len(thin.y) <= 600
    assert (max(thin.y), min(thin.y)) == (99.0, -99.0)
    assert thin.x[thin.y.index(99.0)] == 1234
    assert max(thin.high) == 100.0
    assert min(thin.low) == -100.0
    assert list(thin.x) == sorted(thin.x)
    short = thinned(Series(name="s", x=(1, 2), y=(3,), low=(1,)), 600)
    assert (short.x, short.y, short.low) == ((1,), (3,), ())


def test_drawing_is_small_deterministic_and_uses_the_pages_colours():
    x = np.linspace(0, 1, 20_000)
    curves = Curves(
        title="Noise",
        x_label="t",
        y_label="$y_1$ & <b>",
        series=(
            Series(name="a", x=tuple(x), y=tuple(np.sin(300 * x)), low=tuple(x - 1), high=tuple(x + 1)),
            Series(name="b", x=tuple(x), y=tuple(np.cos(300 * x)), style="points"),
        ),
        lines={"needed": 0.5},
    )
    one, two = draw(curves, "p-"), draw(curves, "p-")
    assert one == two
    assert len(one.svg) < 60_000
    root = ElementTree.fromstring(one.svg)
    names = {element.get("id") for element in root.iter()} - {None}
    assert all(name.startswith("p-") for name in names)
    assert "#fd00" not in one.svg
    assert "#fe00" not in one.svg
    assert "var(--s1)" in one.svg
    assert "var(--muted)" in one.svg
    texts = [element.text for element in root.iter("text")]
    assert "$y_1$ & <b>" in texts
    assert "needed" in texts
    longest = max(len(element.get("d", "").split("L")) for element in root.iter("path"))
    assert longest <= 2 * MOST_POINTS + 4
    assert [key.mark for key in one.keys] == ["band", "points"]
    assert len({(key.colour, key.dashes) for key in one.keys}) == 2
    assert "Noise. $y_1$ & <b> against t." in one.description


def test_drawn_heights_are_those_of_the_values():
    curves = Curves(title="t", x_label="x", y_label="y", series=(Series(name="a", x=(0, 1, 2), y=(0, 10, 5)),))
    root = ElementTree.fromstring(draw(curves, "p-").svg)
    path = next(one.get("d") for one in root.iter("path") if "stroke-width:1.8" in one.get("style", ""))
    points = [tuple(map(float, part.split())) for part in path.replace("M", "").split("L")]
    heights = [height for _, height in points]
    assert heights[1] < heights[2] < heights[0]
    assert (heights[0] - heights[2]) / (heights[0] - heights[1]) == pytest.approx(0.5, abs=0.01)


def test_more_series_than_fit_are_counted():
    many = tuple(Series(name=f"s{n}", x=(0, 1), y=(0, n)) for n in range(30))
    drawing = draw(Curves(title="t", x_label="x", y_label="y", series=many), "p-")
    assert len(drawing.keys) == 12
    assert drawing.note == "18 more curves are in the record."
    assert len({(key.colour, key.dashes) for key in drawing.keys}) == 12


def test_whisker_places():
    line = Line(warn=0.2, fail=0.6)
    drawn = whisker(Estimate(value=0.4, low=0.3, high=0.5, n=9), line)
    # The axis runs from 0.2 to 0.6 with a margin of 0.12 widths on either side.
    expected = [100 * (value - 0.152) / 0.496 for value in (0.4, 0.3, 0.2, 0.6)]
    assert [drawn.value, drawn.start, drawn.warn, drawn.fail] == pytest.approx(expected, abs=0.06)
    assert drawn.fail_zone == pytest.approx((expected[3], 100 - expected[3]), abs=0.06)
    assert drawn.warn_zone == pytest.approx((expected[2], expected[3] - expected[2]), abs=0.06)
    below = whisker(Estimate(value=0.4, low=0.3, high=0.5, n=9), Line(warn=0.6, fail=0.2, worse="below"))
    assert below.fail_zone == pytest.approx((0.0, expected[2]), abs=0.06)
    assert "warn < 0.6" in below.label
    open_ends = whisker(Estimate(value=0.0, low=-math.inf, high=math.inf, n=1), None)
    assert (open_ends.start, open_ends.length, open_ends.open_low, open_ends.open_high) == (0.0, 100.0, True, True)
    assert whisker(Estimate(value=math.inf, low=math.inf, high=math.inf, n=1), None) is None


def test_bars_start_at_zero():
    drawn = bars(
        Bars(
            title="t",
            value_label="v",
            labels=("a", "b", "c"),
            values=(3.0, -1.0, math.nan),
            low=(2.0, -1.0, 0.0),
            high=(3.0, 0.0, 0.0),
        )
    )
    assert [(bar.start, bar.length) for bar in drawn] == [(25.0, 75.0), (0.0, 25.0), (25.0, 0.0)]
    assert [bar.interval for bar in drawn] == [(75.0, 25.0), (0.0, 25.0), None]
    assert [bar.text for bar in drawn] == ["3.0 [2.0, 3.0]", "−1.0 [−1.0, 0.0]", "n/a"]


def test_small_matrix_is_cells_and_large_one_a_picture():
    small = Matrix(
        title="t", row_label="r", column_label="c", rows=("a", "b"), columns=("a", "b"), values=((3, 1), (0, 1200))
    )
    view = matrix_view(small)
    cells = [cell for _, row in view.rows for cell in row]
    assert [cell.text for cell in cells] == ["3", "1", "0", "1,200"]
    assert [cell.shade for cell in cells] == [87, 50, 0, 100]
    assert [cell.diagonal for cell in cells] == [True, False, False, True]
    names = tuple(f"c{n}" for n in range(900))
    values = np.eye(900)
    values[7, 3] = 5
    large = matrix_view(
        Matrix(
            title="t",
            row_label="r",
            column_label="c",
            rows=names,
            columns=names,
            values=tuple(tuple(map(float, row)) for row in values),
        )
    )
    assert large.largest == (("c7", "c3", "5"),)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(large.picture))))
    assert picture.shape == (300, 300, 4)
    assert picture[2, 1, 3] == round(255 * math.sqrt(5 / 6))
    assert picture[100, 100, 3] == 255
    assert picture[100, 200, 3] == 0


def test_tiles_show_weights_only_when_there_is_one_for_every_part():
    view = tile_view(Tile(caption="c", text="good bad neutral", weights=(0.5, -1.0, 0.0)))
    assert [(word.text, word.sign, word.shade) for word in view.words] == [
        ("good", "for", 50),
        ("bad", "against", 100),
        ("neutral", "", 0),
    ]
    assert not any(word.sign for word in tile_view(Tile(caption="c", text="a b", weights=(1.0,))).words)
    cells = {f"column {n}": "v" for n in range(40)}
    weights = tuple(1.0 if n == 33 else 0.01 for n in range(40))
    wide = tile_view(Tile(caption="c", cells=cells, weights=weights))
    assert len(wide.cells) == 14
    assert "column 33" in [cell.name for cell in wide.cells]
    assert wide.left_out == "and 26 more columns"
    assert tile_view(Tile(caption="c", wave=(0.0, 1.0, -2.0))).wave == "0.0,28.0 100.0,2.0 200.0,54.0"


def test_history_groups_orders_and_bands():
    def vital(name: str, part: str, values: tuple[float, ...], spread: float = 0.0) -> Vital:
        return Vital(
            name=name,
            unit="1",
            part=part,
            steps=tuple(range(1, len(values) + 1)),
            values=values,
            low=tuple(one - spread for one in values),
            high=tuple(one + spread for one in values),
        )

    figures = history(
        (
            vital("update_ratio", "body.0", (1.0, 2.0)),
            vital("learning_rate", "train", (1e-6, 0.1)),
            vital("loss", "validation", (2.0, 0.01)),
            vital("loss", "train", (2.0, 0.1), 0.01),
        )
    )
    assert [one.title for one in figures] == ["Loss", "Learning rate", "Update ratio (body.0)"]
    assert [one.name for one in figures[0].series] == ["train", "validation"]
    assert [bool(one.low) for one in figures[0].series] == [True, False]
    assert [one.log_y for one in figures] == [True, False, False]


def test_references_become_links_only_to_the_web():
    text = "Guo, ICML 2017, arXiv:1706.04599v2; doi:10.1080/0162.1927.10502953, see (https://a.org/x)."
    found = [(one.text, one.address) for one in pieces(text) if one.address]
    assert found == [
        ("arXiv:1706.04599v2", "https://arxiv.org/abs/1706.04599"),
        ("doi:10.1080/0162.1927.10502953", "https://doi.org/10.1080/0162.1927.10502953"),
        ("https://a.org/x", "https://a.org/x"),
    ]
    assert "".join(one.text for one in pieces(text)) == text
    assert not [one for one in pieces("javascript:alert(1) data:text/html,x") if one.address]


def test_paragraphs_find_their_leads():
    assert paragraphs("Why it matters: because.\nHow it is measured: so.\n\nplain text. No lead: here") == (
        ("Why it matters", "Because."),
        ("How it is measured", "So."),
        ("", "Plain text. No lead: here"),
    )
    assert paragraphs("") == ()


def test_table_columns_of_numbers_are_aligned_as_numbers():
    view = table_view(("name", "n", "score", "note"), (("a", "1,200", "98.3 %", "x" * 50), ("b", "", "n/a")), 1)
    assert view.styles == ("short", "num", "num", "")
    assert view.left_out == 1
    assert table_view(("a",), (("x",),), 0).rows == ()


def test_text_from_data_cannot_steer_a_terminal():
    assert printable("a\x1b[31mb\x00\x9b\u202ec\nd\ud800") == "a\ufffd[31mb\ufffd\ufffd\ufffdc\nd\ufffd"
    assert one_line(" a\r\n\tb ") == "a b" or one_line(" a\r\n\tb ") == "a\ufffd b"
    assert shortened("abcdefghij", 7) == "abcd…ij"
    assert shortened("abc", 7) == "abc"


def test_verdict_sentence(report):
    assert (
        verdict_sentence(report) == "Of 9 questions asked, 2 fail, 1 ended in an error, 2 warn, 1 is unsure and 3 pass."
    )
    passes = tuple(one for one in report.findings if one.verdict == "pass")
    assert verdict_sentence(report.model_copy(update={"findings": passes})) == "All 3 questions asked pass."
    assert verdict_sentence(report.model_copy(update={"findings": passes[:1]})) == "The one question asked passes."
    skipped = tuple(one for one in report.findings if one.verdict in ("skipped", "fail"))
    assert verdict_sentence(report.model_copy(update={"findings": skipped})) == "Of 2 questions asked, 2 fail."
