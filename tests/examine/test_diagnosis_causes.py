"""The causal model on evidence written by hand."""

from dataclasses import replace

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.core.faults import FAULTS
from equipoise.examine.diagnosis.causes import causes, is_sick, reachable
from equipoise.examine.diagnosis.evidence import Course, Evidence, Tried
from equipoise.examine.diagnosis.readings import share

GOOD = Course(
    skill=0.9,
    balanced=0.9,
    train=0.95,
    finite=True,
    steps=500,
    epochs=20,
    jumps=0.02,
    loss_rise=0.0,
    update=2e-3,
)


def evidence(skill=0.9, reference=0.9, tried=(), **changes):
    own = replace(GOOD, skill=skill, train=skill)
    made = Evidence(
        own=own, plain=own, own_plainly=skill, reference=reference, ceiling=0.8, learnable=0.8, base=skill, tried=tried
    )
    return replace(made, **changes)


def tried(name, fault, *, alone, without=None, doubt=0.9, where="inputs"):
    return Tried(name, {fault: 1.0}, where, doubt, alone=alone, alone_z=9.0, without=without)


def symptom(fault, weight, *, verdict=Verdict.FAIL, where="loss"):
    return Symptom(name="a-probe", verdict=verdict, claim="Seen 3 times.", where=(where,), suggests={fault: weight})


def named(found, *symptoms):
    return [cause.fault for cause in causes(found, symptoms)]


def test_a_training_near_what_is_in_reach_is_healthy():
    assert not is_sick(evidence())
    assert named(evidence()) == []
    assert named(evidence(skill=0.85, reference=0.93)) == []


def test_a_gain_that_may_be_chance_does_not_count():
    lucky = evidence(skill=0.6, reference=0.9, reference_z=1.5, ceiling=0.5)
    assert reachable(lucky) == 0.6
    assert named(lucky) == []


def test_the_choice_that_closes_the_gap_is_the_cause():
    found = evidence(
        skill=0.1,
        tried=(
            tried("inputs", "unscaled_input", alone=0.9, without=0.1),
            tried("dropout", "too_much_dropout", alone=0.1, without=0.9, where="layer:2"),
        ),
    )
    assert named(found) == ["unscaled_input"]
    assert causes(found, ())[0].where == "inputs"


def test_a_share_is_how_much_of_the_gap_a_choice_closes():
    found = evidence(skill=0.1, reference=0.9)
    assert share(tried("inputs", "unscaled_input", alone=0.5, without=0.9), found, 0.9) == 0.7 * 0.5
    both = tried("inputs", "unscaled_input", alone=0.9, without=0.1)
    assert abs(share(both, found, 0.9) - 1) < 1e-9


def test_two_choices_that_are_both_needed_are_both_named():
    found = evidence(
        skill=0.0,
        tried=(
            tried("targets", "unscaled_target", alone=0.0, without=0.05, where="targets"),
            tried("inputs", "unscaled_input", alone=0.0, without=0.1),
        ),
    )
    assert set(named(found)) == {"unscaled_target", "unscaled_input"}


def test_a_mechanism_that_a_probe_saw_is_named_though_the_training_does_well():
    assert named(evidence(), symptom("missing_zero_grad", 7.0)) == ["missing_zero_grad"]
    assert named(evidence(), symptom("missing_zero_grad", 2.0)) == []
    assert named(evidence(), symptom("lr_too_high", 7.0)) == []


def test_an_unsure_probe_speaks_only_of_a_sick_training():
    seen = symptom("lr_too_low", 6.0, verdict=Verdict.UNSURE, where="optimizer.lr")
    assert named(evidence(), seen) == []
    assert "lr_too_low" in named(evidence(skill=0.1), seen)


def test_what_brings_a_fault_about_goes_before_it():
    found = evidence(skill=0.1, tried=(tried("inputs", "unscaled_input", alone=0.9, without=0.1),))
    order = named(found, symptom("saturated_activation", 9.0, where="layer:0"))
    assert order[:2] == ["unscaled_input", "saturated_activation"]
    assert "unscaled_input" in FAULTS["saturated_activation"].symptom_of


def test_a_training_that_raises_is_sick_and_named_from_the_probes():
    assert named(None, symptom("loss_mismatch", 6.0)) == ["loss_mismatch"]
    raised = causes(None, (symptom("shape_broadcast", 4.0, where="inputs"),), raises=True)
    assert [(one.fault, one.where) for one in raised] == [("shape_broadcast", "inputs")]


def test_evidence_comes_strongest_first_and_confidence_with_it():
    found = evidence(skill=0.1, tried=(tried("inputs", "unscaled_input", alone=0.9, without=0.1),))
    cause = causes(found, (symptom("unscaled_input", 1.0, where="inputs"),))[0]
    assert cause.evidence[0].startswith("With inputs made sound alone, skill goes from 0.10 to 0.90")
    assert cause.evidence[1] == "Seen 3 times."
    assert 0.9 < cause.confidence < 1


def test_negative_rates_climb():
    found = evidence(skill=0.0, rate=-1e-3)
    assert named(found)[0] == "gradient_ascent"
    assert causes(found, ())[0].where == "optimizer.lr"


def test_an_evaluation_that_loses_skill_is_in_the_wrong_mode():
    found = evidence(skill=0.6, own_plainly=0.9)
    assert named(found)[0] == "train_eval_mode"


def test_rows_learned_by_heart_are_named():
    own = replace(GOOD, skill=0.4, train=1.0, loss_rise=1.2)
    found = replace(evidence(skill=0.4, reference=0.4, ceiling=0.4), own=own)
    assert named(found) == ["overfitting"]
