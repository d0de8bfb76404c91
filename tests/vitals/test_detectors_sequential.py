"""The sequential tests against numerical integration, exact tails and simulated error rates."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from equipoise.vitals.detectors.sequential import Doubling, SignProcess, Spending, share, spread


@pytest.mark.parametrize(
    ("hits", "misses", "limit"), [(0, 0, 0.5), (9, 0, 0.5), (12, 5, 0.5), (3, 20, 0.1), (7, 7, 0.6)]
)
def test_the_evidence_is_the_mean_likelihood_ratio_over_larger_chances(hits, misses, limit):
    process = SignProcess(limit)
    process.add(hits, misses)
    ratio = integrate.quad(
        lambda p: (p / limit) ** hits * ((1 - p) / (1 - limit)) ** misses / (1 - limit), limit, 1, epsabs=1e-13
    )[0]
    assert process.log_evidence() == pytest.approx(math.log(ratio), rel=1e-6)


def test_the_cheap_bound_changes_no_answer():
    rng = np.random.default_rng(1)
    for _ in range(400):
        process = SignProcess(float(rng.choice([0.05, 0.1, 0.5, 0.6])))
        process.add(int(rng.integers(0, 200)), int(rng.integers(0, 200)))
        alpha = float(10 ** rng.uniform(-8, -0.5))
        assert process.established(alpha) == (process.log_evidence() >= -math.log(alpha))


def test_evidence_far_below_one_is_no_evidence():
    process = SignProcess()
    process.add(0, 5000)
    assert process.log_evidence() == -math.inf or process.log_evidence() < -5


@pytest.mark.parametrize("limit", [0.5, 0.1])
def test_looking_after_every_sign_keeps_the_error_rate(limit):
    rng = np.random.default_rng(0)
    flips = rng.random((1500, 200)) < limit
    rejected = 0
    for path in flips:
        process = SignProcess(limit)
        for k in range(0, 200, 4):
            hits = int(path[k : k + 4].sum())
            process.add(hits, 4 - hits)
            if process.established(0.05):
                rejected += 1
                break
    assert stats.binomtest(rejected, 1500, 0.05, alternative="greater").pvalue > 1e-3, rejected


def test_fifteen_hits_in_a_row_are_established_and_half_of_a_thousand_are_not():
    sure, half = SignProcess(), SignProcess()
    sure.add(16, 0)
    half.add(500, 500)
    assert sure.established(5e-4)
    assert not half.established(5e-4)


def test_spending_never_exceeds_its_rate():
    spending = Spending(0.01)
    total = math.fsum(spending.look() for _ in range(10_000))
    assert total < 0.01
    assert total == pytest.approx(0.01 * (1 - 1 / 10_001))


def test_looks_come_at_growing_counts():
    looks = Doubling(0.01, 64)
    due = [count for count in range(1, 2000) if looks.due(count) is not None]
    assert due == [64, 96, 144, 216, 324, 486, 729, 1094, 1641]


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 17), (400, 1000)])
def test_shares_agree_with_the_exact_binomial_interval_of_scipy(hits, n):
    ours = share(hits, n, 0.99)
    theirs = stats.binomtest(hits, n).proportion_ci(0.99, "exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_the_interval_of_a_median_covers_it():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        one = spread(rng.standard_cauchy(41).tolist(), 0.95)
        covered += one.low <= 0 <= one.high
    assert stats.binomtest(covered, 400, 0.95, alternative="less").pvalue > 1e-3, covered
    assert spread([3.0]).value == 3.0
