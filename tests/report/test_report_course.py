"""The chapter on treatments: the forest plot by its geometry, the plan as a diff, and the same on a terminal."""

import math
import re
from xml.etree import ElementTree as Tree

import pytest
from report_sample import HOSTILE, sample_report

from equipoise.core.course import Comparison, Course, LeftOut, Prescription
from equipoise.core.estimate import Estimate
from equipoise.core.trial import Outcome, Trial
from equipoise.report.course_view import course_lines, course_sentence, plan_diff
from equipoise.report.forest import LABELS, PLOT, forests
from equipoise.report.html import render
from equipoise.run.what import plan as plan_of

PLAN = plan_of("digits")


def trial(name: str, value: float, low: float, high: float, outcome: Outcome, margin: float = 0.01) -> Trial:
    return Trial(
        treatment=name,
        metric="validation accuracy",
        seeds=tuple(range(10)),
        differences=(value,) * 10,
        effect=Estimate(value=value, low=low, high=high, n=10, method="sign flips"),
        p_value=0.002,
        level=0.04,
        margin=margin,
        outcome=outcome,
        reason="p = 0.002 against 0.04.",
    )


TRIALS = (
    trial("mixup", 0.02, 0.01, 0.03, "adopted"),
    trial("dropout", 0.0, -0.005, 0.005, "no difference"),
    trial("sgd", -0.03, -0.04, -0.02, "harmful"),
)


def course(*trials: Trial, after: object = PLAN, **more: object) -> Course:
    prescribed = tuple(
        Prescription(
            treatment=one.treatment, title="t", question="overfitting", why=f"why {one.treatment}", promise=0.2
        )
        for one in trials
    )
    return Course(
        before=PLAN.plain(), after=after.plain(), trials=trials, prescriptions=prescribed, finished=True, **more
    )


def drawn(*trials: Trial) -> Tree.Element:
    (forest,) = forests(trials)
    return Tree.fromstring(str(forest.svg))


def dots(svg: Tree.Element) -> list[float]:
    return [float(one.get("cx")) for one in svg.iter("circle")]


def test_dots_lie_where_the_axis_says():
    svg = drawn(*TRIALS)
    mixup, dropout, sgd = dots(svg)
    assert LABELS < sgd < dropout < mixup < LABELS + PLOT
    scale = (mixup - dropout) / 0.02
    assert (dropout - sgd) / 0.03 == pytest.approx(scale, rel=0.01)
    ticks = {one.text: float(one.get("x")) for one in svg.iter("text") if re.fullmatch(r"[−\d.]+", one.text or "")}
    for text, x in ticks.items():
        assert x == pytest.approx(dropout + scale * float(text.replace("−", "-")), abs=0.5)
    bands = [(float(one.get("x")), float(one.get("width"))) for one in svg.iter("rect")]
    assert bands[0] == (pytest.approx(dropout - 0.01 * scale, abs=0.3), pytest.approx(0.02 * scale, abs=0.3))


def test_what_is_decided_is_filled_and_said_in_words():
    svg = drawn(*TRIALS)
    assert [one.get("fill") for one in svg.iter("circle")] == ["var(--pass)", "var(--paper)", "var(--fail)"]
    words = [one.text for one in svg.iter("text")]
    assert {"adopted", "no difference", "harmful", "mixup", "0.020 [0.010, 0.030]"} <= set(words)
    assert "dropout" in svg.get("aria-label")


def test_one_disaster_does_not_squeeze_the_others():
    disaster = trial("sgd", -0.9, -0.95, -0.85, "harmful")
    (forest,) = forests((*TRIALS[:2], disaster))
    assert forest.cut
    mixup, dropout = dots(Tree.fromstring(str(forest.svg)))
    assert mixup - dropout > 30
    assert not forests(TRIALS)[0].cut


def test_intervals_without_ends_and_hostile_names_are_drawn():
    svg = drawn(trial(HOSTILE, 0.0, -math.inf, math.inf, "unsure"), *TRIALS)
    assert len(dots(svg)) == 4
    assert forests(()) == ()
    assert len(dots(drawn(trial("same", 0.0, 0.0, 0.0, "no difference", margin=0.0)))) == 1


def test_the_page_has_the_chapter():
    after = PLAN.replace(network__dropout=0.2)
    fresh = Estimate(value=0.02, low=0.01, high=0.03, n=8)
    found = Comparison(metric="test accuracy", seeds=(1, 2), before=(0.9, 0.94), after=(0.95, 0.97), difference=fresh)
    whole = course(
        *TRIALS, after=after, comparison=found, left_out=(LeftOut(treatment="lstm", reason=f"got {HOSTILE}"),)
    )
    page = render(sample_report().model_copy(update={"course": whole}))
    assert 'id="part-treatments"' in page
    assert '<a href="#part-treatments">' in page
    assert "1 of 3 treatments passed and was adopted: mixup" in page
    assert "0.92 before, 0.96 after, difference 0.020" in page.replace("\u00a0", " ")
    assert '<span class="added">+ dropout = 0.2</span>' in page
    assert "why sgd" in page
    assert "1 treatment not tried, and why" in page
    assert HOSTILE not in page
    assert 'id="part-treatments"' not in render(sample_report())


def test_a_diff_shows_what_came_and_what_went():
    changed = PLAN.replace(recipe__epochs=10, recipe__label_smoothing=0.1)
    signed = [(sign, line) for sign, line in plan_diff(PLAN.plain(), changed.plain()) if sign]
    assert sorted(signed) == [("+", "epochs = 10"), ("+", "label_smoothing = 0.1"), ("-", "epochs = 40")]
    assert plan_diff(PLAN.plain(), PLAN.plain()) == ()
    assert plan_diff({"odd": 1}, {"odd": 2}) == (("-", "odd = 1"), ("+", "odd = 2"))


def test_the_terminal_says_the_same():
    lines = course_lines(course(*TRIALS), width=100)
    assert lines.splitlines()[0].startswith(
        "1 of 3 treatments passed and was adopted: mixup (1 adopted, 1 harmful, 1 no"
    )
    assert "  harmful        sgd      −0.030 [−0.040, −0.020]  p = 0.002 against 0.04, 10 seeds" in lines
    assert "\x1b[32madopted" in course_lines(course(*TRIALS), colour=True)
    assert course_sentence(course(TRIALS[1])).startswith("Nothing helped: of 1 treatment, none passed")
    assert course_sentence(course()) == "No treatment was tried."
    cut = course(TRIALS[1]).replace(finished=False)
    assert course_sentence(cut).endswith("It was cut off, and can be gone on with.")
