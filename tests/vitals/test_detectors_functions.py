"""Symptoms of data and of series: exact tests against brute force, planted faults, error rates."""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from scipy import stats

from equipoise.core.estimate import Estimate, Verdict
from equipoise.vitals.detectors.constant import identical_outputs_symptom
from equipoise.vitals.detectors.fitting import overfitting_symptom, slope, underfitting_symptom, unfinished_symptom
from equipoise.vitals.detectors.leak import shared_rows
from equipoise.vitals.detectors.order import batch_order_symptom, runs_p
from equipoise.vitals.detectors.oscillation import noise_scale_symptom
from equipoise.vitals.detectors.rank import rank_symptom
from equipoise.vitals.detectors.step_size import sharp_step_symptom


@pytest.mark.parametrize("flags", ["1100", "11100", "10110", "111000011", "1010101010", "1111"])
def test_the_runs_test_counts_all_orders(flags):
    given = [one == "1" for one in flags]

    def runs(order: list[bool]) -> int:
        return 1 + sum(a != b for a, b in pairwise(order))

    places = list(combinations(range(len(given)), sum(given)))
    orders = [[k in chosen for k in range(len(given))] for chosen in places]
    expected = sum(runs(order) <= runs(given) for order in orders) / len(orders)
    assert runs_p(np.array(given)) == pytest.approx(expected, rel=1e-9)


def test_the_runs_test_agrees_with_its_normal_limit():
    flags = np.random.default_rng(0).random(20_000) < 0.3
    a, b = int(flags.sum()), int((~flags).sum())
    mean = 1 + 2 * a * b / (a + b)
    variance = (mean - 1) * (mean - 2) / (a + b - 1)
    runs = 1 + int((flags[1:] != flags[:-1]).sum())
    assert runs_p(flags) == pytest.approx(stats.norm.cdf((runs + 0.5 - mean) / math.sqrt(variance)), abs=0.01)


def test_sorted_labels_fail_and_shuffled_ones_pass():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 600)
    assert batch_order_symptom(np.sort(labels), 32).verdict is Verdict.FAIL
    assert batch_order_symptom(np.eye(5)[np.sort(labels)], 32).verdict is Verdict.FAIL
    assert batch_order_symptom(np.sort(rng.standard_normal((600, 1)), axis=0), 32).verdict is Verdict.FAIL
    assert batch_order_symptom(np.tile(np.arange(5), 120), 32).verdict is Verdict.PASS
    alarms = 0
    for seed in range(60):
        shuffled = np.random.default_rng(seed).permutation(labels)
        alarms += batch_order_symptom(shuffled, 32, alpha=0.05).verdict is not Verdict.PASS
    assert alarms <= 9


def test_one_label_has_no_order():
    assert batch_order_symptom(np.ones(50), 8).verdict is Verdict.PASS
    with pytest.raises(ValueError, match=r"got 1 targets.*expected at least 2"):
        batch_order_symptom(np.ones(1), 8)


def test_leaked_rows_fail_and_rows_that_coincide_by_chance_do_not():
    rng = np.random.default_rng(0)
    train = rng.standard_normal((500, 6)).astype(np.float32)
    fresh = rng.standard_normal((200, 6)).astype(np.float32)
    assert shared_rows(train, fresh).verdict is Verdict.PASS
    assert shared_rows(train, np.concatenate((fresh, train[:60]))).verdict is Verdict.FAIL
    assert shared_rows(train, train[:200].astype(np.float64)).verdict is Verdict.FAIL
    coarse = rng.integers(0, 3, (1500, 3))
    assert shared_rows(coarse[:1000], coarse[1000:]).verdict is Verdict.PASS
    zeros = np.zeros((3, 2))
    assert shared_rows(zeros, -zeros).estimates["shared_share"].value == 1


@pytest.mark.parametrize("levels", [4, 8, 16, 40])
def test_discrete_rows_raise_no_false_alarm(levels):
    alarms = 0
    for seed in range(25):
        rows = np.random.default_rng(seed).integers(0, levels, (600, 3))
        alarms += shared_rows(rows[:400], rows[400:]).verdict is not Verdict.PASS
    assert alarms == 0


def test_rows_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"got shapes .* expected rows of one shape"):
        shared_rows(np.ones((3, 2)), np.ones((3, 4)))


@pytest.mark.parametrize(("sharpness", "verdict"), [(10, "pass"), (22, "unsure"), (30, "warn"), (60, "fail")])
def test_step_times_sharpness(sharpness, verdict):
    given = Estimate(value=sharpness, low=0.98 * sharpness, high=1.02 * sharpness, n=5)
    assert sharp_step_symptom(given, 0.1).verdict.value == verdict


def test_momentum_widens_and_full_batches_forgive_the_edge():
    given = Estimate(value=30, low=29, high=31, n=5)
    assert sharp_step_symptom(given, 0.1, momentum=0.9).verdict is Verdict.PASS
    assert sharp_step_symptom(given, 0.1, full_batch=True).verdict is Verdict.UNSURE
    with pytest.raises(ValueError, match=r"got learning rate 0"):
        sharp_step_symptom(given, 0)


def test_gradient_descent_diverges_just_where_the_symptom_says():
    for product, diverges in ((1.9, False), (2.1, True)):
        x = 1.0
        for _ in range(200):
            x -= product * x
        assert (abs(x) > 1) is diverges


def test_noise_above_the_batch_is_a_fault_only_when_nothing_is_gained():
    large = Estimate(value=4000, low=3000, high=5000, n=10)
    rests = Estimate(value=0.0, low=-0.02, high=0.02, n=16)
    falls = Estimate(value=-0.3, low=-0.4, high=-0.2, n=16)
    assert noise_scale_symptom(large, 4, progress=rests).verdict is Verdict.WARN
    assert noise_scale_symptom(large, 4, progress=falls).verdict is Verdict.PASS
    assert noise_scale_symptom(large, 256, progress=rests).verdict is Verdict.PASS


def test_rank_collapse_is_told_from_neural_collapse():
    steps = np.arange(20)

    def falling(start: float, end: float) -> np.ndarray:
        return np.r_[np.linspace(start, end, 14), np.full(6, end)] + 0.05 * np.random.default_rng(0).standard_normal(20)

    verdicts = {
        (start, end): rank_symptom(steps, falling(start, end), "layer:3", needed=9).verdict.value
        for start, end in ((20.0, 1.2), (40.0, 3.0), (40.0, 9.0), (6.0, 5.0), (12.0, 12.0))
    }
    assert list(verdicts.values()) == ["fail", "warn", "pass", "pass", "pass"], verdicts
    with pytest.raises(ValueError, match=r"got 20 steps and 3 ranks"):
        rank_symptom(steps, np.ones(3), "layer:3", needed=9)


def test_identical_outputs():
    rng = np.random.default_rng(0)
    varied = rng.standard_normal((64, 8))
    assert identical_outputs_symptom(varied, "layer:2").verdict is Verdict.PASS
    assert identical_outputs_symptom(np.tile(varied[:1], (64, 1)), "layer:2").verdict is Verdict.FAIL
    assert identical_outputs_symptom(np.tile(varied[:1], (64, 1)) + 1e-4 * varied, "layer:2").verdict is Verdict.FAIL
    assert identical_outputs_symptom(np.zeros((4, 3)), "layer:2").verdict is Verdict.FAIL
    with pytest.raises(ValueError, match="got outputs of shape"):
        identical_outputs_symptom(np.array([[np.nan], [1.0]]), "layer:2")


@pytest.mark.parametrize("memory", [0.0, 0.5])
def test_slopes_keep_their_error_rate_with_autocorrelation(memory):
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(500):
        noise = rng.standard_normal(24)
        for k in range(1, 24):
            noise[k] += memory * noise[k - 1]
        one = slope(noise, 0.025)
        wrong += one.low > 0 or one.high < 0
    assert wrong / 500 < (0.08 if memory == 0 else 0.12), wrong


def test_the_slope_of_a_line_is_exact():
    one = slope(np.linspace(3, 5, 12), 0.025)
    assert one.value == pytest.approx(2)
    assert one.high - one.low < 1e-9


def evaluations(seed: int, validation_turns: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    k = np.arange(30)
    train = 2 * np.exp(-k / 12) + 0.02 * rng.standard_normal(30)
    held = 0.6 + 1.4 * np.exp(-k / 6) + (0.04 * np.maximum(0, k - 8) if validation_turns else 0)
    return 50 * (k + 1), train, held + 0.02 * rng.standard_normal(30)


def test_overfitting_is_a_rise_of_validation_while_training_falls():
    found = [overfitting_symptom(*evaluations(seed, True)).verdict for seed in range(10)]
    assert sum(one in (Verdict.WARN, Verdict.FAIL) for one in found) >= 9
    assert Verdict.PASS not in found
    alarms = [overfitting_symptom(*evaluations(seed, False), alpha=0.05).verdict for seed in range(100)]
    assert sum(one in (Verdict.WARN, Verdict.FAIL) for one in alarms) <= 3
    strict = [overfitting_symptom(*evaluations(seed, False)).verdict for seed in range(100)]
    assert not {Verdict.WARN, Verdict.FAIL} & set(strict)


def test_few_evaluations_say_nothing():
    assert overfitting_symptom(np.arange(3), np.ones(3), np.ones(3)).verdict is Verdict.UNSURE
    with pytest.raises(ValueError, match=r"got series of lengths \[3, 3, 2\]"):
        overfitting_symptom(np.arange(3), np.ones(3), np.ones(2))


def test_underfitting_is_told_from_a_short_training_and_from_success():
    rng = np.random.default_rng(0)

    def noise() -> np.ndarray:
        return 0.005 * rng.standard_normal(30)

    steps = np.arange(30)
    rests = np.full(30, 0.65) + noise()
    falls = np.linspace(0.7, 0.55, 30) + noise()
    well = 0.1 + 0.6 * np.exp(-steps / 4) + noise()
    small = underfitting_symptom(steps, rests, rests + noise(), chance=0.69, floor=0.05)
    short = underfitting_symptom(steps, falls, falls + noise(), chance=0.69, floor=0.05, alpha=0.01)
    assert max(small.suggests, key=small.suggests.get) == "underfitting_capacity"
    assert max(short.suggests, key=short.suggests.get) == "too_few_epochs"
    assert underfitting_symptom(steps, well, well, chance=0.69, floor=0.05).verdict is Verdict.PASS
    with pytest.raises(ValueError, match="expected a floor below chance"):
        underfitting_symptom(steps, well, well, chance=0.1, floor=0.2)


def test_a_training_that_ends_while_its_loss_falls():
    rng = np.random.default_rng(0)
    wobble = np.exp(0.05 * rng.standard_normal(800))
    assert unfinished_symptom(np.linspace(2, 1, 800) * wobble).verdict is Verdict.WARN
    assert unfinished_symptom((0.5 + np.exp(-np.arange(800) / 50)) * wobble).verdict is not Verdict.WARN
    assert unfinished_symptom(np.linspace(2, 1, 800), remaining_steps=10).verdict is Verdict.SKIPPED
