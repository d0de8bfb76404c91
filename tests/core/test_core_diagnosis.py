"""Records of a diagnosis and the vocabulary of faults."""

import pytest

from equipoise.core.diagnosis import Cause, Diagnosis, Preflight, Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.core.faults import FAULTS


@pytest.mark.parametrize("word", FAULTS)
def test_every_fault_has_a_title_and_a_cure_in_a_sentence(word):
    fault = FAULTS[word]
    assert fault.title[0].islower()
    assert fault.cure[0].isupper()
    assert fault.cure.endswith(".")
    assert set(fault.symptom_of) <= set(FAULTS) - {word}


def test_no_fault_explains_itself_in_a_circle():
    def reaches(word, seen):
        assert word not in seen, f"circle through {word}"
        for one in FAULTS[word].symptom_of:
            reaches(one, (*seen, word))

    for word in FAULTS:
        reaches(word, ())


def diagnosis():
    cause = Cause(
        fault="lr_too_low", where="optimizer.lr", confidence=0.9, evidence=("It crawls.",), treatment="Go on."
    )
    seen = Symptom(name="step-descends", verdict=Verdict.FAIL, claim="It crawls.", estimates={"multiple": exact(100.0)})
    return Diagnosis(verdict="sick", causes=(cause,), symptoms=(seen,), score={"own loop": float("nan")})


def test_a_diagnosis_survives_a_file(tmp_path):
    diagnosis().save(tmp_path / "d.json")
    again = Diagnosis.load(tmp_path / "d.json")
    assert again.causes == diagnosis().causes
    assert again.score["own loop"] != again.score["own loop"]


def test_only_a_healthy_verdict_is_healthy_also_in_a_file():
    for verdict in ("healthy", "sick", "unsure"):
        found = Diagnosis(verdict=verdict, reason="It was dark.")
        assert found.healthy == (verdict == "healthy")
        assert found.plain()["healthy"] == found.healthy
        assert Diagnosis.read(found.plain()) == found
    assert str(found) == "unsure: It was dark."


def test_a_diagnosis_reads_as_a_list_of_causes_with_evidence_and_cure():
    text = str(diagnosis())
    assert text.splitlines() == ["1. lr_too_low at optimizer.lr (90%)", "   It crawls.", "   cure: Go on."]
    assert str(Diagnosis(verdict="healthy", seconds=1.0)).startswith("healthy")


def test_a_preflight_is_healthy_until_a_probe_warns():
    passed = Symptom(name="a", verdict=Verdict.UNSURE, claim="Perhaps.")
    warned = Symptom(name="b", verdict=Verdict.WARN, claim="Beware.")
    assert Preflight(symptoms=(passed,)).healthy
    assert not Preflight(symptoms=(warned, passed)).healthy
    assert "Beware." in str(Preflight(symptoms=(warned,)))
