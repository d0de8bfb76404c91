"""The loss trend on histories with a planted course."""

import numpy as np
import pytest

from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.recipe import Recipe
from equipoise.core.stop import StopReason
from equipoise.examine.ask import ask
from equipoise.examine.learning.loss_trend import LossTrend
from equipoise.testing import best_classifier, check_question, with_history

SUBJECT = best_classifier(n=200)
RNG = np.random.default_rng(0)


def _falling(steps: int = 400, noise: float = 0.1, floor: float = 0.1, rate: float = 12.0) -> np.ndarray:
    course = floor + (1.1 - floor) * np.exp(-rate * np.arange(steps) / steps)
    return course * np.exp(noise * RNG.standard_normal(steps))


def _answer(train: np.ndarray, validation: np.ndarray, **options: object) -> Finding:
    finding = ask(LossTrend(), with_history(SUBJECT, list(train), list(validation), **options))
    assert finding.verdict is not Verdict.ERROR, (finding.claim, finding.where)
    return finding


def test_a_loss_that_falls_and_settles_passes_by_the_rules() -> None:
    subject = with_history(SUBJECT, list(_falling()), list(_falling(20)))
    finding = check_question(LossTrend(), subject)
    assert finding.verdict is Verdict.PASS
    assert "settled at the end" in finding.claim
    assert finding.estimates["fall"].value == pytest.approx(0.91, abs=0.03)
    assert [one.name for one in finding.figures[0].series] == ["train", "validation"]


def test_a_loss_that_never_falls_fails() -> None:
    flat = 1.0 + 0.002 * RNG.standard_normal(400)
    assert _answer(flat, flat[:20]).verdict is Verdict.FAIL
    finding = _answer(np.linspace(1.0, 2.0, 400), np.linspace(1.0, 2.0, 20))
    assert finding.verdict is Verdict.FAIL
    assert "rising at the end" in finding.claim
    assert "learning-rate-search" in finding.treatments


def test_a_loss_that_is_still_falling_says_so_and_passes() -> None:
    finding = _answer(np.linspace(1.0, 0.4, 400), np.linspace(1.0, 0.4, 20))
    assert finding.verdict is Verdict.PASS
    assert "still falling at the end (by 15.0 % over the last quarter)" in finding.claim


@pytest.mark.parametrize(("every", "verdict"), [(0, Verdict.PASS), (50, Verdict.WARN), (12, Verdict.FAIL)])
def test_planted_spikes_are_counted(every: int, verdict: Verdict) -> None:
    train = _falling(600)
    if every:
        train[every - 1 :: every] += 1.5
    finding = _answer(train, _falling(20))
    assert finding.verdict is verdict
    assert finding.estimates["spikes"].value == pytest.approx((1 / every) if every else 0.0, abs=0.002)


def test_relative_jumps_of_a_small_loss_are_no_spikes() -> None:
    train = _falling(600, floor=0.002, rate=30.0)
    train[150:] *= np.exp(RNG.standard_normal(450))
    assert _answer(train, _falling(20)).estimates["spikes"].value == 0.0


@pytest.mark.parametrize(("keep", "verdict"), [("best", Verdict.PASS), ("last", Verdict.FAIL)])
def test_a_rising_validation_loss_counts_where_the_last_network_is_kept(keep: str, verdict: Verdict) -> None:
    validation = np.concatenate([np.linspace(1.0, 0.3, 20), np.linspace(0.3, 1.2, 20)])
    finding = _answer(_falling(), validation, recipe=Recipe(keep=keep))
    assert finding.verdict is verdict
    assert "validation loss rose again" in finding.claim
    assert ("epoch 20 was kept" in finding.claim) == (keep == "best")


def test_what_is_not_finite_fails() -> None:
    train = _falling()
    train[300:] = np.nan
    finding = _answer(train, _falling(10))
    assert finding.verdict is Verdict.FAIL
    assert "100 records of 400, the first about step 301" in finding.claim
    stopped = _answer(_falling(), _falling(10), stopped=StopReason.NOT_FINITE)
    assert stopped.verdict is Verdict.FAIL


def test_without_a_history_it_is_skipped() -> None:
    assert ask(LossTrend(), SUBJECT).verdict is Verdict.SKIPPED
    assert "trained elsewhere" in ask(LossTrend(), SUBJECT).claim
    assert _answer(np.array([1.0]), np.array([1.0])).verdict is Verdict.SKIPPED
    short = _answer(np.array([1.0, 0.5, 0.4]), np.array([1.0]))
    assert short.verdict is Verdict.PASS
    assert "went from 1 to 0.4" in short.claim


def test_a_fast_fall_at_the_start_is_no_spike() -> None:
    steps = np.arange(300)
    falling = (np.exp(-steps / 2) + 0.01) * np.exp(0.1 * np.random.default_rng(0).standard_normal(300))
    assert _answer(falling, _falling(20)).estimates["spikes"].value == 0
