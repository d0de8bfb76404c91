import json
import math

import numpy as np
import pytest

from equipoise.core.estimate import Estimate, Line, Verdict, exact
from equipoise.core.report import Section
from equipoise.report.compare import Comparison, compare, comparison_text, difference
from equipoise.stats.intervals import difference_of_proportions, proportion


def test_difference_of_two_wilson_intervals_is_newcombes():
    # Newcombe, Statistics in Medicine 1998, table II, example (a), method 10: 56/70 against 48/80.
    found = difference(proportion(48, 80), proportion(56, 70))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert found.method == "Newcombe"


@pytest.mark.parametrize(
    ("a", "n", "b", "m"), [(0, 10, 10, 10), (9, 10, 3, 10), (350, 360, 340, 360), (1, 7, 900, 999)]
)
def test_difference_agrees_with_the_interval_of_two_counts(a, n, b, m):
    found, expected = difference(proportion(b, m), proportion(a, n)), difference_of_proportions(a, n, b, m)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_difference_of_two_normal_means_covers_as_it_says():
    rng = np.random.default_rng(1)
    left, right = rng.normal(0.0, 1.0, (2000, 40)).mean(axis=1), rng.normal(0.5, 2.0, (2000, 30)).mean(axis=1)
    half_left, half_right = 1.959964 / math.sqrt(40), 1.959964 * 2 / math.sqrt(30)
    inside = 0
    for one, two in zip(left, right, strict=True):
        found = difference(
            Estimate(value=one, low=one - half_left, high=one + half_left, n=40),
            Estimate(value=two, low=two - half_right, high=two + half_right, n=30),
        )
        inside += found.low <= 0.5 <= found.high
    assert 0.935 < inside / 2000 < 0.965


def test_counted_and_open_ended_numbers():
    counted = difference(exact(5), exact(3))
    assert (counted.value, counted.low, counted.high, counted.level, counted.method) == (-2, -2, -2, 1.0, "counted")
    open_ended = difference(Estimate(value=1, low=-math.inf, high=2, n=1), exact(3))
    assert (open_ended.low, open_ended.high) == (1.0, math.inf)
    with pytest.raises(ValueError, match="expected one unit"):
        difference(exact(1, unit="s"), exact(1))
    with pytest.raises(ValueError, match="expected finite"):
        difference(exact(math.inf), exact(math.inf))


def test_a_report_does_not_differ_from_itself(report):
    found = compare(report, report)
    assert (found.plan, found.facts, found.verdicts) == ((), (), ())
    assert {one.change for one in found.differences} == {"unclear"}
    assert "numbers: 0 of" in comparison_text(found)


def _changed(report):
    def altered(finding):
        if finding.question == "accuracy":
            worse = Estimate(value=0.91, low=0.89, high=0.93, n=360, method="Wilson")
            estimates = {**finding.estimates, "accuracy": worse, "precision of 0": exact(1, unit="s")}
            return finding.model_copy(update={"estimates": estimates, "verdict": Verdict.FAIL})
        if finding.question == "dead-units":
            better = Estimate(value=0.01, low=0.0, high=0.03, n=224, method="Wilson")
            return finding.model_copy(update={"estimates": {"dead_share": better}, "verdict": Verdict.PASS})
        if finding.question == "explanation-faithful":
            gain = Estimate(value=0.9, low=0.8, high=1.0, n=64, method="paired t")
            return finding.model_copy(
                update={"estimates": {**finding.estimates, "deletion_gain_integrated_gradients": gain}}
            )
        return finding

    kept = tuple(altered(one) for one in report.findings if one.question != "latency")
    plan = {**report.plan, "seed": 1, "recipe": {"learning_rate": 0.1, "l2": {}}}
    subject = (Section(title="Data", facts={**report.subject[0].facts, "name": "other"}), *report.subject[1:])
    return report.model_copy(update={"findings": kept, "plan": plan, "subject": subject, "name": "again"})


def test_what_changed_is_found_and_judged(report):
    found = compare(report, _changed(report))
    assert [(one.name, one.left, one.right) for one in found.plan] == [
        ("seed", "0", "1"),
        ("recipe.learning_rate", "(absent)", "0.1"),
        ("recipe.l2", "(absent)", "{}"),
    ]
    assert [one.name for one in found.facts] == ["Data: name"]
    assert [(one.question, one.change) for one in found.verdicts] == [
        ("accuracy", "worse"),
        ("dead-units", "better"),
        ("latency", "other"),
    ]
    clear = {(one.question, one.name): one.change for one in found.differences if one.change != "unclear"}
    assert clear == {
        ("accuracy", "accuracy"): "worse",
        ("dead-units", "dead_share"): "better",
        ("explanation-faithful", "deletion_gain_integrated_gradients"): "different",
    }
    assert "precision of 0" in found.notes[-1]
    assert Comparison.read(json.loads(json.dumps(found.plain()))) == found


def test_text_says_it_all(report):
    text = comparison_text(compare(report, _changed(report)), width=90)
    assert max(map(len, text.splitlines())) <= 90
    assert "recipe.learning_rate  (absent) → 0.1" in text
    assert "pass → not asked" in text
    assert "accuracy: accuracy" in text
    assert "(worse)" in text
    assert "square-root rule for independent" in " ".join(text.split())
    assert "numbers: 3 of" in text


def test_lines_of_the_second_report_decide_which_side_is_worse(report):
    plain = next(one for one in report.findings if one.question == "overfitting")
    lower = Estimate(value=-0.5, low=-0.51, high=-0.49, n=360, method="Newcombe")
    turned = plain.model_copy(
        update={"estimates": {"gap": lower}, "lines": {"gap": Line(warn=0.1, fail=0.0, worse="below")}}
    )
    (one,) = compare(
        report.model_copy(update={"findings": (plain,)}), report.model_copy(update={"findings": (turned,)})
    ).differences
    assert one.change == "worse"
