import json
import re
import subprocess
import sys
from itertools import pairwise

import pytest
from page_reader import Element, read_page
from report_sample import EMOJI, HOSTILE

from equipoise.core.estimate import Estimate, Verdict
from equipoise.core.figure import Bars, Curves, Gallery, Matrix, Series, Table, Tile
from equipoise.core.finding import Finding
from equipoise.core.report import Report
from equipoise.report.html import render
from equipoise.report.printable import one_line, printable

EMPTY = Report(name="bare", created="yesterday", command="", subject=())


@pytest.fixture(scope="module")
def tree(page: str) -> Element:
    return read_page(page)


def _flat(text: str) -> str:
    return " ".join(text.split())


def test_page_is_small_well_formed_and_always_the_same(report, page, tree):
    assert page.startswith("<!DOCTYPE html>")
    assert len(page.encode()) <= 1_000_000
    assert [one.tag for one in tree.walk()].count("main") == 1
    assert render(report) == page


def test_nothing_is_loaded_from_anywhere(page, tree):
    for element in tree.walk():
        for name, value in element.attributes.items():
            if name in ("src", "poster", "data", "srcset", "action", "formaction", "background"):
                assert value.startswith("data:image/png;base64,"), (element.tag, value[:60])
            if name in ("href", "xlink:href"):
                assert value.startswith("#") or value == "data:," or element.tag == "a", (element.tag, value[:60])
                assert re.match(r"#|data:,$|https?://", value), value[:60]
    style = "".join(next(one for one in tree.walk() if one.tag == "style").text)
    assert not re.search(r"@import|url\(|@font-face|expression\(", style)
    policy = next(one for one in tree.walk() if one.attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy.attributes["content"].startswith("default-src 'none'; img-src data:;")
    assert "<iframe" not in page


def test_every_finding_has_its_chapter_and_its_row(report, tree):
    articles = {one.attributes["id"]: one for one in tree.walk() if one.tag == "article"}
    links = {one.attributes["href"] for one in tree.walk() if one.tag == "a"}
    for finding in report.findings:
        words = _flat(articles[finding.question].words())
        assert _flat(printable(finding.claim)) in words
        assert finding.verdict.value in words
        assert f"#{finding.question}" in links
        for treatment in finding.treatments:
            assert treatment in words


def test_findings_table_is_worst_first(report, tree):
    table = next(one for one in tree.walk() if one.attributes.get("class") == "findings")
    titles = [_flat("".join(one.text)) for one in table.walk() if one.attributes.get("class") == "title"]
    assert titles == [finding.title for finding in report.worst_first()]


def test_embedded_record_is_the_report(report, page, tree):
    script = next(one for one in tree.walk() if one.attributes.get("id") == "record")
    assert script.attributes["type"] == "application/json"
    text = "".join(script.text)
    assert "<" not in text
    values = json.loads(text)
    assert json.dumps(values, sort_keys=True) == json.dumps(report.plain(), sort_keys=True)
    again = Report.read(values)
    assert json.dumps(again.plain()) == json.dumps(report.plain())


def test_hostile_text_stays_text(page, tree):
    scripts = [one for one in tree.walk() if one.tag == "script"]
    assert [one.attributes.get("type", "") for one in scripts] == ["application/json", ""]
    assert len("".join(scripts[1].text)) < 400
    for element in tree.walk():
        assert not [name for name in element.attributes if name.startswith("on")], element
    assert not [one for one in tree.walk() if one.tag == "img" and one.attributes["src"] == "x"]
    assert HOSTILE in _flat(next(one for one in tree.walk() if one.tag == "main").words())
    assert "\u202e" not in re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.DOTALL)
    assert one_line(EMOJI) in page


def test_every_reference_on_the_page_has_one_target(tree):
    names = [one.attributes["id"] for one in tree.walk() if "id" in one.attributes]
    assert len(names) == len(set(names))
    pointed = set()
    for element in tree.walk():
        for name, value in element.attributes.items():
            pointed |= set(re.findall(r"url\(#([^)]+)\)", value))
            if name == "href" and value.startswith("#"):
                pointed.add(value[1:])
            if name in ("aria-labelledby", "aria-describedby"):
                pointed |= set(value.split())
    assert pointed <= set(names), pointed - set(names)


def test_page_can_be_read_without_seeing_it(tree):
    levels = [int(one.tag[1]) for one in tree.walk() if re.fullmatch("h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    for element in tree.walk():
        if element.tag == "img":
            assert element.attributes["alt"]
        if element.attributes.get("role") in ("img", "region"):
            assert element.attributes["aria-label"]
        if element.tag == "svg":
            hidden = element.attributes.get("aria-hidden") == "true"
            assert hidden or [one for one in element.children if one.tag == "title"]
        if element.tag == "table":
            assert [one for one in element.walk() if one.tag == "caption"]
        if element.tag == "th":
            assert element.attributes.get("scope") in ("row", "col", "colgroup")
    for verdict in Verdict:
        marked = [one for one in tree.walk() if f"v-{verdict.value}" in one.attributes.get("class", "").split()]
        assert any(verdict.value in one.words() for one in marked if "verdict" in one.attributes["class"])


def _variables(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_dark_paper_and_contrast(page):
    style = page[page.index("<style>") : page.index("</style>")]
    light = _variables(style[: style.index("@media")])
    dark = _variables(style[style.index("prefers-color-scheme: dark") : style.index("* { box-sizing")])
    assert set(dark) >= {"paper", "ink", "muted", "rule", "fail", "warn", "pass", "s1", "s6"}
    for colours in (light, dark):
        for ground in ("paper", "card", "sunk"):
            for name in ("ink", "muted", "accent", "fail", "error", "warn", "unsure", "pass", "skipped"):
                bright, dim = sorted((_luminance(colours[ground]), _luminance(colours[name])), reverse=True)
                # WCAG 2.2, success criterion 1.4.3.
                assert (bright + 0.05) / (dim + 0.05) >= 4.5, (name, ground, colours[name])
    assert "@media print" in style
    assert "details-content" in style
    assert "beforeprint" in page


def test_bare_report_has_only_what_it_has(tree, report):
    bare = render(EMPTY)
    words = read_page(bare).words()
    assert "No question was answered" in words
    for part in ("part-trials", "part-certificates", "part-training", "part-layers", "part-not-examined"):
        assert f'id="{part}"' not in bare
        assert [one for one in tree.walk() if one.attributes.get("id") == part]


def test_strange_question_names_get_anchors_of_their_own():
    names = ("record", "a b", "a-b", "a b", "日本", "", "part-repeat", "theme-0", "top", '"><b>')
    findings = tuple(
        Finding(question=name, theme="data", title=name, verdict=Verdict.PASS, claim=f"claim {place}")
        for place, name in enumerate(names)
    )
    tree = read_page(render(EMPTY.model_copy(update={"findings": findings})))
    names = [one.attributes["id"] for one in tree.walk() if "id" in one.attributes]
    assert len(names) == len(set(names))
    assert len([one for one in tree.walk() if one.tag == "article"]) == len(findings)


def test_ragged_and_empty_figures_do_no_harm():
    nan = float("nan")
    figures = (
        Curves(title="", x_label="", y_label="", series=()),
        Curves(title="ragged", x_label="x", y_label="y", series=(Series(name="a", x=(1, 2, 3), y=(1,), low=(0,)),)),
        Curves(title="one", x_label="x", y_label="y", series=(Series(name="a", x=(1,), y=(5,)),), log_x=True),
        Curves(
            title="huge",
            x_label="x",
            y_label="y",
            series=(Series(name="a", x=(0, 1e308), y=(-1e308, 1e308)),),
            lines={"l": nan},
        ),
        Curves(
            title="neg",
            x_label="x",
            y_label="y",
            series=(Series(name="a", x=(-1, 0), y=(-2, 0)),),
            log_x=True,
            log_y=True,
            diagonal=True,
        ),
        Bars(title="none", value_label="", labels=(), values=()),
        Bars(title="ragged", value_label="", labels=("a", "b"), values=(1.0,), low=(0.5,)),
        Bars(title="inf", value_label="", labels=("a", "b"), values=(float("inf"), nan), low=(0, 0), high=(nan, 1)),
        Matrix(title="none", row_label="", column_label="", rows=(), columns=(), values=()),
        Matrix(title="ragged", row_label="r", column_label="c", rows=("a", "b"), columns=("a",), values=((1, 2, 3),)),
        Matrix(
            title="wide", row_label="r", column_label="c", rows=("a",), columns=("x",) * 600, values=((nan,) * 600,)
        ),
        Table(title="ragged", columns=("a", "b"), rows=((), ("1", "2", "3"))),
        Table(title="none", columns=(), rows=(("1",),)),
        Gallery(title="none", tiles=()),
        Gallery(
            title="bad",
            tiles=(
                Tile(caption="", picture='"><script>', overlay="not base64!"),
                Tile(caption="w", wave=(nan, 9.0, -9.0), text="a b", weights=(1.0,)),
                Tile(caption="c", cells={"a": "b"}, weights=(nan,)),
            ),
        ),
    )
    finding = Finding(
        question="q",
        theme="t",
        title="t",
        verdict=Verdict.PASS,
        claim="c",
        figures=figures,
        estimates={"a": Estimate(value=0.0, low=float("-inf"), high=float("inf"), n=1)},
    )
    page = render(EMPTY.model_copy(update={"findings": (finding,)}))
    tree = read_page(page)
    assert len([one for one in tree.walk() if one.tag == "figure"]) == len(figures)
    assert "not base64" not in re.sub(r'<script type="application/json".*?</script>', "", page, flags=re.DOTALL)


def test_the_page_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; import equipoise.report.html, equipoise.report.compare"
    subprocess.run([sys.executable, "-c", code], check=True)
