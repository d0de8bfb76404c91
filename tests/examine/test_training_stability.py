"""What the governor did, as a finding."""

import dataclasses

import pytest

from equipoise.core.act import Act
from equipoise.core.estimate import Verdict
from equipoise.core.recipe import Recipe
from equipoise.core.stop import StopReason
from equipoise.core.vital import Vital
from equipoise.examine.ask import ask
from equipoise.examine.stability.training_stability import TrainingStability
from equipoise.testing import best_classifier, check_question, with_history

SUBJECT = best_classifier(n=200)
LOSSES = [1.0 - 0.001 * k for k in range(400)]


def act(step: int, what: str = "clip-gradients", outcome: str = "recovered", back_to: int = 0) -> Act:
    return Act(
        step=step, what=what, why=f"It broke at step {step}.", numbers={"back_to": float(back_to)}, outcome=outcome
    )


def governed(*acts: Act, **options: object):
    subject = with_history(SUBJECT, LOSSES, LOSSES[::20], **options)
    return dataclasses.replace(subject, fit=dataclasses.replace(subject.fit, acts=acts))


def test_a_training_that_kept_its_balance_passes_by_the_rules() -> None:
    finding = check_question(TrainingStability(), governed())
    assert finding.verdict is Verdict.PASS
    assert finding.claim == "The governor watched 400 steps and had nothing to do."
    assert finding.treatments == ()


def test_acts_that_helped_warn_with_what_they_did() -> None:
    acts = (act(40, "skip-batches", "failed"), act(100, "lower-step", "recovered", back_to=60))
    finding = check_question(TrainingStability(), governed(*acts))
    assert finding.verdict is Verdict.WARN
    assert finding.estimates["acts"].value == 2
    assert finding.estimates["undone"].value == pytest.approx(80 / 400)
    assert "took back 20.0 % of them: skip-batches after step 40 (failed), lower-step after step 100" in finding.claim
    assert finding.claim.endswith("It broke at step 40.")
    assert finding.treatments[0] == "lower-step"
    assert finding.figures


def test_a_stop_fails_with_its_reason() -> None:
    stop = Act(step=200, what="stop", why="Nothing helped.", numbers={"back_to": 0.0}, outcome="stopped")
    finding = ask(TrainingStability(), governed(act(40, outcome="failed"), stop, stopped=StopReason.UNSTABLE))
    assert finding.verdict is Verdict.FAIL
    assert finding.claim.endswith("Nothing helped.")
    assert "standardise-inputs" in finding.treatments


def test_many_acts_are_told_in_short() -> None:
    finding = ask(TrainingStability(), governed(*(act(10 * k + 10) for k in range(20))))
    assert "15 more" in finding.claim


def drifting(scores: list[float]):
    """Return a training whose validation score went like this."""
    subject = governed()
    steps = tuple(range(1, len(scores) + 1))
    seen = tuple(scores)
    score = Vital(name="score", unit="1", part="validation", steps=steps, values=seen, low=seen, high=seen)
    return dataclasses.replace(subject, fit=dataclasses.replace(subject.fit, vitals=(*subject.fit.vitals, score)))


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ([0.1 * k for k in range(9)] + [0.9] * 23, Verdict.PASS),
        ([0.9, 0.75] * 16, Verdict.WARN),
        ([0.9, 0.5] * 16, Verdict.FAIL),
    ],
)
def test_answers_that_still_change_at_the_end_are_seen(scores, verdict) -> None:
    finding = check_question(TrainingStability(), drifting(scores))
    assert finding.verdict is verdict, finding.claim
    assert finding.estimates["late_drift"].n == 8
    assert finding.estimates["late_drift"].value == pytest.approx(abs(scores[-1] - scores[-2]))
    assert ("one-cycle" in finding.treatments) is (verdict is not Verdict.PASS)


def test_a_few_looks_show_no_drift() -> None:
    assert "late_drift" not in ask(TrainingStability(), drifting([0.9, 0.5] * 6)).estimates


@pytest.mark.parametrize(
    "subject",
    [
        SUBJECT,
        governed(recipe=Recipe(governor=False)),
        governed(stopped=StopReason.NOT_TRAINED),
    ],
    ids=["foreign", "switched off", "not trained"],
)
def test_where_nobody_watched_it_is_skipped(subject) -> None:
    assert ask(TrainingStability(), subject).verdict is Verdict.SKIPPED
