"""Exact paired tests against scipy and brute force."""

import itertools

import numpy as np
import pytest
from scipy import stats

from equipoise.core.estimate import Estimate, Line
from equipoise.stats.multiplicity import benjamini_hochberg, one_sided_p, threshold_p
from equipoise.stats.paired import mcnemar_p, sign_flip_interval, sign_flip_p


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_sign_flip_counts_every_pattern(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.5, 1, n).round(1)
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=n)]
    want = np.mean([one >= abs(differences.sum()) - 1e-9 for one in sums])
    assert sign_flip_p(differences) == pytest.approx(want)


def test_sign_flip_smallest_p_and_zero() -> None:
    assert sign_flip_p(np.ones(6)) == 2 / 64
    assert sign_flip_p(np.zeros(6)) == 1.0


def test_sign_flip_of_many_pairs_agrees_with_scipy() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, 40)
    want = stats.permutation_test(
        (differences, np.zeros(40)),
        lambda a, b: np.mean(a - b),
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).pvalue
    assert sign_flip_p(differences) == pytest.approx(want, abs=0.01)


def test_mcnemar_is_the_exact_binomial() -> None:
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(1, 9) == pytest.approx(2 * (1 + 10) / 1024)
    assert mcnemar_p(9, 1) == mcnemar_p(1, 9)


def test_benjamini_hochberg_by_hand() -> None:
    # Sorted p * m / rank, made monotone from the largest down.
    got = benjamini_hochberg(np.array([0.04, 0.01, 0.03, 0.5]))
    assert got == pytest.approx([0.04 * 4 / 3, 0.04, 0.04 * 4 / 3, 0.5])
    assert len(benjamini_hochberg(np.array([]))) == 0


def test_one_sided_p_reads_the_interval_back() -> None:
    half = 1.959963984540054 * 0.01
    estimate = Estimate(value=0.06, low=0.06 - half, high=0.06 + half, n=100)
    assert one_sided_p(estimate, 0.05, "above") == pytest.approx(stats.norm.sf(1.0))
    assert one_sided_p(estimate, 0.05, "below") == pytest.approx(stats.norm.sf(-1.0))
    assert threshold_p(estimate, Line(warn=0.06 - half, fail=1)) == pytest.approx(0.025)
    counted = estimate.replace(low=0.06, high=0.06, level=1.0)
    assert (one_sided_p(counted, 0.05, "above"), one_sided_p(counted, 0.07, "above")) == (0.0, 1.0)
    assert one_sided_p(estimate.replace(low=-np.inf), 0.05, "above") == 0.5


@pytest.mark.parametrize(
    ("call", "got"),
    [
        (lambda: sign_flip_p(np.array([])), "got differences"),
        (lambda: sign_flip_p(np.array([np.nan])), "got differences"),
        (lambda: mcnemar_p(-1, 2), "got counts -1 and 2"),
        (lambda: benjamini_hochberg(np.array([1.5])), "got p values"),
    ],
)
def test_bad_input_is_named(call, got: str) -> None:
    with pytest.raises(ValueError, match=got):
        call()


@pytest.mark.parametrize("n", [6, 9, 16])
def test_sign_flip_interval_ends_where_the_test_begins_to_reject(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.5, 1, n)
    found = sign_flip_interval(differences)
    span = found.high - found.low
    for end, out in ((found.low, -1), (found.high, 1)):
        assert sign_flip_p(differences - (end + out * 1e-6 * span)) <= 0.05
        assert sign_flip_p(differences - (end - out * 1e-6 * span)) > 0.05


def test_sign_flip_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [sign_flip_interval(rng.laplace(0.3, 1, 10)) for _ in range(300)]
    assert np.mean([one.low <= 0.3 <= one.high for one in found]) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 300)


def test_sign_flip_interval_of_few_or_of_equal_differences() -> None:
    assert sign_flip_interval(np.arange(5.0)).low == -np.inf
    same = sign_flip_interval(np.full(6, 0.1))
    assert (same.low, same.high) == (pytest.approx(0.1), pytest.approx(0.1))
    with pytest.raises(ValueError, match="got 23 differences; expected at most 22"):
        sign_flip_interval(np.ones(23))
