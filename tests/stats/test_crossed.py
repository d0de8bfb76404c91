"""Churn, spread and the parts of the error against simulations and algebra."""

import itertools

import numpy as np
import pytest

from equipoise.stats.churn import churn, disagreement, spread
from equipoise.stats.crossed import over_members_and_samples
from equipoise.stats.decomposition import decompose_decisions, decompose_squared, main_decision
from equipoise.stats.intervals import deviation, mean_score


def test_disagreement_is_the_share_of_pairs_by_brute_force() -> None:
    decided = np.random.default_rng(0).integers(0, 4, (5, 30))
    pairs = list(itertools.combinations(range(5), 2))
    want = np.mean([decided[a] != decided[b] for a, b in pairs], axis=0)
    assert disagreement(decided) == pytest.approx(want)
    assert churn(decided).value == pytest.approx(want.mean())


def test_the_interval_of_churn_holds_the_truth_over_networks_and_samples() -> None:
    # Networks flip an easy decision with a rate of their own, so that both networks and samples vary.
    rng, held = np.random.default_rng(1), 0
    rates = rng.beta(2, 18, 4000)
    expected = 2 * rates.mean() * (1 - rates.mean())  # two networks with independent rates
    for _ in range(200):
        own = rng.choice(rates, 6)
        decided = (rng.random((6, 300)) < own[:, None]).astype(int)
        estimate = churn(decided)
        held += estimate.low <= expected <= estimate.high
    assert held >= 180


def test_networks_that_agree_are_never_called_certain() -> None:
    estimate = churn(np.zeros((4, 100), dtype=int))
    assert (estimate.value, estimate.low, estimate.high) == (0.0, 0.0, 0.03)


def test_spread_is_the_distance_of_two_answers() -> None:
    values = np.random.default_rng(2).normal(5, 0.3, (400, 50))
    assert spread(values, 2.0).value == pytest.approx(np.sqrt(2) * 0.3 / 2, rel=0.02)


def test_two_networks_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        over_members_and_samples(lambda one: one.mean(0), np.zeros((2, 5)))


def test_squared_error_is_bias_plus_variance_and_both_are_unbiased() -> None:
    rng = np.random.default_rng(3)
    n, biases, variances = 2000, [], []
    for _ in range(30):
        targets = rng.normal(0, 0.5, (n, 1))  # noise of variance 0.25
        values = 0.4 + rng.normal(0, 0.3, (4, n, 1))  # bias 0.4, variance 0.09
        parts = decompose_squared(values, targets, np.ones(1))
        assert parts.error.value == pytest.approx(parts.bias.value + parts.variance.value)
        biases.append(parts.bias.value)
        variances.append(parts.variance.value)
    assert np.mean(biases) == pytest.approx(0.16 + 0.25, abs=0.005)
    assert np.mean(variances) == pytest.approx(0.09, abs=0.002)


def test_decisions_follow_domingos() -> None:
    decided = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1]])
    targets = np.array([0, 0, 0, 1])
    assert main_decision(decided).tolist() == [0, 0, 1, 1]
    parts = decompose_decisions(decided, targets)
    assert parts.error.value == pytest.approx((0 + 1 / 3 + 1 + 1 / 3) / 4)
    assert parts.bias.value == pytest.approx(1 / 4)  # the third sample alone
    assert parts.variance.value == pytest.approx(parts.error.value - parts.bias.value)


def test_varying_helps_where_the_average_network_is_wrong() -> None:
    decided = np.array([[1], [1], [0]])
    parts = decompose_decisions(decided, np.array([0]))
    assert parts.variance.value == pytest.approx(-1 / 3)


def test_the_interval_of_a_standard_deviation_holds_it() -> None:
    rng = np.random.default_rng(4)
    found = [deviation(rng.normal(3, 0.5, 6)) for _ in range(400)]
    assert np.mean([one.low <= 0.5 <= one.high for one in found]) == pytest.approx(0.95, abs=0.03)
    with pytest.raises(ValueError, match="at least 2"):
        deviation(np.array([1.0]))


def test_a_mean_score_ends_where_a_score_is_perfect() -> None:
    estimate = mean_score(np.array([1.0, 0.9, 1.0]))
    assert estimate.high == 1.0
    assert estimate.low < 0.9 < estimate.value
