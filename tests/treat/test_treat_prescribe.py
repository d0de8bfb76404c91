"""From findings to prescriptions: by severity and by how often such a treatment helps, and never twice the same."""

import pytest

from equipoise.core.diagnosis import Cause, Diagnosis
from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.plan import Plan
from equipoise.run.what import plan as plan_of
from equipoise.treat.change import Change
from equipoise.treat.prescribe import ANSWERS, NAMED, SEVERITY, prescribe


def finding(question: str, verdict: Verdict, *helps: str) -> Finding:
    return Finding(
        question=question, theme="made", title="?", verdict=verdict, claim="It is 3 [2, 4].", treatments=helps
    )


def rate(value: float, name: str, *treats: str) -> Change:
    return Change(name, f"learn at {value}", treats, lambda plan: plan.replace(recipe__learning_rate=value))


def refuse(plan: Plan) -> Plan:
    raise ValueError(f"got {plan.name}; expected another. Take one.")


def broken(plan: Plan) -> Plan:
    raise KeyError(plan.name)


A, B, C = rate(0.1, "a", "overfitting"), rate(0.2, "b", "overfitting"), rate(0.3, "c", "calibration")
WINE = plan_of("wine")


def ids(prescribed: object) -> list[str]:
    return [one.treatment.id for one in prescribed.chosen]


def test_severity_times_prior_is_the_order():
    found = [finding("calibration", Verdict.UNSURE, "c"), finding("overfitting", Verdict.FAIL, "b")]
    got = prescribe(WINE, found, [A, B, C], experience={})
    assert ids(got) == ["b", "a", "c"]
    promises = [one.prescription.promise for one in got.chosen]
    assert promises == pytest.approx([NAMED, ANSWERS, SEVERITY[Verdict.UNSURE] * NAMED])
    assert got.chosen[0].plan == WINE.replace(recipe__learning_rate=0.2)
    assert got.chosen[0].prescription.why == "overfitting: fail. It is 3 [2, 4]."


def test_what_passes_asks_for_nothing():
    got = prescribe(WINE, [finding("overfitting", Verdict.PASS, "a")], [A, B], experience={}, control=None)
    assert got.chosen == ()


def test_without_findings_general_ones_are_tried():
    general = rate(0.01, "one-cycle")
    got = prescribe(WINE, [], [A, general], experience={}, control=None)
    assert ids(got) == ["one-cycle"]
    assert got.chosen[0].prescription.question == ""


def test_one_of_the_others_is_drawn_as_a_control():
    others = [rate(k / 100, f"other-{k}") for k in range(1, 20)]
    drawn = {ids(prescribe(WINE.replace(seed=seed), [], others, experience={}))[0] for seed in range(20)}
    assert len(drawn) > 5
    got = prescribe(WINE, [finding("overfitting", Verdict.FAIL)], [A, B, *others], experience={})
    assert [one.prescription.control for one in got.chosen] == [False, False, True]
    assert ids(got) == ids(prescribe(WINE, [finding("overfitting", Verdict.FAIL)], [A, B, *others], experience={}))


def test_what_cannot_be_done_is_left_out_with_its_reason():
    treats = ("overfitting",)
    known = [A, Change("no", "no", treats, refuse), Change("bad", "bad", treats, broken), rate(0.1, "twin", *treats)]
    got = prescribe(WINE, [finding("overfitting", Verdict.FAIL)], known, experience={})
    assert ids(got) == ["a"]
    assert {one.treatment: one.reason for one in got.left_out} == {
        "no": "got wine; expected another. Take one.",
        "bad": "KeyError: 'wine'",
        "twin": "leads to the same plan as a",
    }


def test_the_cheaper_of_two_that_promise_the_same_comes_first():
    wide = Change("a-wide", "widen", ("overfitting",), lambda plan: plan.replace(network__hidden=(99,)))
    assert ids(prescribe(WINE, [finding("overfitting", Verdict.FAIL)], [wide, B], experience={})) == ["b", "a-wide"]


def test_experience_changes_the_order():
    found = [finding("overfitting", Verdict.FAIL)]
    assert ids(prescribe(WINE, found, [A, B], experience={"b": (3, 4)})) == ["b", "a"]
    assert ids(prescribe(WINE, found, [A, B], experience={"a": (0, 10)})) == ["b", "a"]


def test_fix_limits_it_to_one_finding_without_a_control():
    found = [finding("calibration", Verdict.WARN), finding("overfitting", Verdict.FAIL)]
    assert ids(prescribe(WINE, found, [A, B, C, rate(0.7, "d")], fix="calibration", experience={})) == ["c"]


def test_causes_of_a_diagnosis_are_answered_by_their_confidence():
    causes = tuple(
        Cause(fault=fault, where="optimizer.lr", confidence=sure, evidence=("seen",), treatment="Change it.")
        for fault, sure in (("lr_too_low", 0.9), ("dying_relu", 0.2))
    )
    diagnosis = Diagnosis(verdict="sick", causes=causes)
    low, dead = rate(0.5, "low", "lr_too_low"), rate(0.6, "dead", "dying_relu")
    got = prescribe(WINE, [], [dead, low], diagnosis=diagnosis, experience={})
    assert ids(got) == ["low", "dead"]
    assert got.chosen[0].prescription.promise == pytest.approx(0.9 * NAMED)
