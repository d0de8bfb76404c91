"""A diagnosis as a person reads it in a terminal."""

from equipoise.core.diagnosis import Cause, Diagnosis, Symptom
from equipoise.core.estimate import Verdict
from equipoise.report.diagnosis_lines import diagnosis_lines, diagnosis_summary

CAUSES = (
    Cause(
        fault="shape_broadcast",
        where="loss",
        confidence=0.97,
        evidence=("Outputs (4, 1) and targets (4,) broadcast to (4, 4) in the loss.", "A second sentence."),
        treatment="Give both one shape.",
    ),
    Cause(fault="lr_too_high", where="optimizer.lr", confidence=0.6, evidence=("It jumps.",), treatment="Divide it."),
)
SYMPTOMS = (
    Symptom(name="loss-shapes", verdict=Verdict.FAIL, claim="They broadcast.\x1b[2J", where=("loss", "targets")),
    Symptom(name="step-descends", verdict=Verdict.PASS, claim="It does."),
    Symptom(name="dead-at-birth", verdict=Verdict.SKIPPED, claim="Not measured: no hidden rectified units."),
)
SICK = Diagnosis(
    verdict="sick",
    causes=CAUSES,
    symptoms=SYMPTOMS,
    score={"own loop": 0.1, "sound recipe": 0.95},
    skipped={"a": "Not measured: it is dark.", "b": "Not measured: it is dark.", "c": "no time"},
    seconds=3.21,
)


def test_the_verdict_comes_first_then_causes_probes_runs_and_what_was_skipped():
    assert diagnosis_lines(SICK).splitlines() == [
        "sick      shape_broadcast at loss, 97% sure, and 1 more (3.2 s)",
        "",
        "1. shape_broadcast at loss, 97% sure: outputs and targets of different shapes broadcast in the loss",
        "   - Outputs (4, 1) and targets (4,) broadcast to (4, 4) in the loss.",
        "   - A second sentence.",
        "   cure: Give both one shape.",
        "",
        "2. lr_too_high at optimizer.lr, 60% sure: the step is too large",
        "   - It jumps.",
        "   cure: Divide it.",
        "",
        "probes    1 fail, 1 pass",
        "fail      loss-shapes                 They broadcast.\ufffd[2J where: loss, targets",
        "",
        "runs      skill: 1 is perfect, 0 is what the best constant answer scores",
        "          own loop        0.10",
        "          sound recipe    0.95",
        "",
        "skipped   a, b: it is dark.",
        "          c: no time",
    ]


def test_a_healthy_one_says_so():
    text = diagnosis_lines(Diagnosis(verdict="healthy", symptoms=SYMPTOMS[1:2], seconds=1.0))
    assert text.splitlines() == [
        "healthy   nothing was found that is worth a change (1.0 s)",
        "",
        "probes    1 pass",
    ]


def test_one_without_a_cause_says_why():
    reason = "It was interrupted before anything was found."
    found = Diagnosis(verdict="unsure", reason=reason, skipped={"interrupted": "this is what was known by then"})
    assert diagnosis_lines(found, interrupted=True).startswith(f"unsure    interrupted; {reason} (0.0 s)\n")
    assert "sick      interrupted; shape_broadcast" in diagnosis_lines(SICK, interrupted=True)
    raises = Diagnosis(verdict="sick", reason="The training raises KeyError: 3.")
    assert diagnosis_summary(raises) == "sick      The training raises KeyError: 3. (0.0 s)"


def test_lines_keep_to_the_width_and_nothing_is_lost():
    long = CAUSES[0].replace(evidence=("word " * 60,), treatment="cure " * 60)
    text = diagnosis_lines(SICK.replace(causes=(long.plain(),)), width=90)
    assert max(len(line) for line in text.splitlines() if line.startswith(" ")) <= 90
    assert text.count("word") == 60
    assert text.count("cure") == 61


def test_only_verdicts_are_coloured():
    text = diagnosis_lines(SICK, colour=True)
    assert text.startswith("\x1b[1;31msick    \x1b[0m")
    assert text.count("\x1b[1;31m") == 2
    plain = text.replace("\x1b[1;31m", "").replace("\x1b[0m", "")
    assert plain == diagnosis_lines(SICK)


def test_the_summary_is_a_line_a_cause():
    assert diagnosis_summary(SICK).splitlines() == [
        "sick      shape_broadcast at loss, 97% sure, and 1 more (3.2 s)",
        "1. shape_broadcast at loss, 97% sure: Give both one shape.",
        "2. lr_too_high at optimizer.lr, 60% sure: Divide it.",
    ]
