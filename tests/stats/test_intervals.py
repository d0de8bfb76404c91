"""Intervals against scipy's own, closed forms and simulated coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from equipoise.core.estimate import Line, Verdict, judge, n_to_settle
from equipoise.stats import intervals


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 40), (3, 17), (40, 40), (354, 360), (1, 100_000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_proportion_is_scipys_wilson(k: int, n: int, level: float) -> None:
    got = intervals.proportion(k, n, level=level)
    want = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    assert got.low == pytest.approx(want.low, abs=1e-12)
    assert got.high == pytest.approx(want.high, abs=1e-12)
    assert (got.value, got.n, got.level) == (k / n, n, level)


@pytest.mark.parametrize(("share", "n"), [(0.5, 20), (0.05, 60), (0.98, 360), (0.9, 30)])
def test_proportion_covers_the_truth_by_exact_enumeration(share: float, n: int) -> None:
    counts = np.arange(n + 1)
    inside = [one.low <= share <= one.high for one in (intervals.proportion(int(k), n) for k in counts)]
    coverage = stats.binom.pmf(counts, n, share)[inside].sum()
    assert 0.92 <= coverage <= 0.99


def test_proportion_of_counts_the_flags() -> None:
    flags = np.array([[True, False], [True, True]])
    assert intervals.proportion_of(flags) == intervals.proportion(3, 4)


def test_mean_is_scipys_t_interval() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=23)
    got = intervals.mean(values, unit="s")
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (got.low, got.high) == pytest.approx((low, high))
    assert (got.unit, got.n) == ("s", 23)


def test_one_value_has_an_unbounded_interval() -> None:
    one = intervals.mean(np.array([2.0]))
    assert (one.low, one.value, one.high) == (-math.inf, 2.0, math.inf)
    assert intervals.bootstrap(np.mean, np.array([2.0])).high == math.inf
    assert judge(one, Line(warn=1, fail=3)) is Verdict.UNSURE


def test_welch_is_scipys() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(1, 1, 12), rng.normal(0, 4, 40)
    got = intervals.difference_of_means(a, b)
    want = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (got.low, got.high) == pytest.approx((want.low, want.high))
    same = intervals.difference_of_means(np.ones(3), np.ones(3))
    assert (same.low, same.high) == (0, 0)


def test_paired_difference_is_scipys() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=15)
    b = a + rng.normal(0.2, 0.1, 15)
    got = intervals.paired_difference(a, b)
    want = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (got.low, got.high) == pytest.approx((want.low, want.high))


def test_newcombe_gives_the_published_example() -> None:
    # Newcombe 1998, table II, row (a): 56/70 - 48/80, method 10: 0.0524 to 0.3339.
    got = intervals.difference_of_proportions(56, 70, 48, 80)
    assert (got.low, got.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    extreme = intervals.difference_of_proportions(10, 10, 0, 10)
    assert (extreme.value, extreme.high) == (1.0, 1.0)


def test_paired_proportions_cover_the_truth() -> None:
    rng = np.random.default_rng(6)
    for a, b, n in ((0.05, 0.02, 100), (0.2, 0.1, 60), (0.01, 0.01, 200)):
        draws = rng.multinomial(n, [a, b, 1 - a - b], 2000)
        found = [intervals.paired_difference_of_proportions(int(x), int(y), n) for x, y, _ in draws]
        coverage = np.mean([one.low <= a - b <= one.high for one in found])
        assert 0.94 <= coverage <= 1.0
    never = intervals.paired_difference_of_proportions(0, 0, 100)
    assert never.low < 0 == never.value < never.high


def test_difference_of_estimates_is_newcombes_for_shares_and_normal_for_means() -> None:
    one, two = intervals.proportion(56, 70), intervals.proportion(48, 80)
    got = intervals.difference(one, two)
    assert (got.low, got.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    rng = np.random.default_rng(7)
    a, b = rng.normal(1, 1, 400), rng.normal(0, 2, 300)
    got, want = intervals.difference(intervals.mean(a), intervals.mean(b)), intervals.difference_of_means(a, b)
    assert (got.low, got.high) == pytest.approx((want.low, want.high), abs=2e-3)


def test_quantile_is_scipys_order_statistic_interval() -> None:
    values = np.random.default_rng(3).exponential(size=200)
    for q in (0.1, 0.5, 0.9):
        got = intervals.quantile(values, q, "ms")
        want = stats.quantile_test(values, p=q).confidence_interval(0.95)
        assert (got.low, got.high) == pytest.approx((want.low, want.high))


def test_quantile_without_enough_values_is_open() -> None:
    assert intervals.quantile(np.arange(367.0), 0.99).high == math.inf
    assert intervals.quantile(np.arange(368.0), 0.99).high == 367.0


def test_bootstrap_matches_scipys_bca() -> None:
    values = np.random.default_rng(4).exponential(size=60)
    got = intervals.bootstrap(lambda v: float(np.std(v)), values, repeats=4000)
    want = stats.bootstrap((values,), np.std, n_resamples=4000, rng=np.random.default_rng(0)).confidence_interval
    width = want.high - want.low
    assert abs(got.low - want.low) < 0.06 * width
    assert abs(got.high - want.high) < 0.06 * width


def test_bootstrap_covers_a_correlation_of_pairs() -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for trial in range(100):
        x = rng.normal(size=80)
        y = 0.6 * x + 0.8 * rng.normal(size=80)
        got = intervals.bootstrap(lambda a, b: float(np.corrcoef(a, b)[0, 1]), x, y, repeats=200, seed=trial)
        inside += got.low <= 0.6 <= got.high
    assert 0.88 <= inside / 100 <= 0.99


def test_bootstrap_draws_its_own_numbers_and_repeats_itself() -> None:
    values = np.arange(30.0)
    before = np.random.get_state()[1].tolist()
    first = intervals.bootstrap(lambda v: float(v.mean()), values, seed=7)
    assert first == intervals.bootstrap(lambda v: float(v.mean()), values, seed=7)
    assert first != intervals.bootstrap(lambda v: float(v.mean()), values, seed=8)
    assert np.random.get_state()[1].tolist() == before


def test_bootstrap_leaves_out_resamples_without_a_value() -> None:
    rare = np.array([1.0] + [0.0] * 30)
    got = intervals.bootstrap(lambda v: float(v.mean() / v.max()) if v.max() else math.nan, rare)
    assert math.isfinite(got.high)
    rows = np.arange(400.0)

    def only_the_full_set(v: np.ndarray) -> float:
        return 1.0 if len(np.unique(v)) == 400 else math.nan

    with pytest.raises(ValueError, match="without a finite statistic"):
        intervals.bootstrap(only_the_full_set, rows)


@pytest.mark.parametrize(
    ("call", "got"),
    [
        (lambda: intervals.proportion(3, 0), "got n 0"),
        (lambda: intervals.proportion(5, 4), "got successes 5 of 4"),
        (lambda: intervals.mean(np.array([])), "got no values"),
        (lambda: intervals.mean(np.array([1.0, math.nan])), "got 1 of 2 values not finite"),
        (lambda: intervals.bootstrap(np.mean, np.ones(3), np.ones(4)), r"got arrays with \[3, 4\] rows"),
        (lambda: intervals.bootstrap(np.mean, np.ones(3), repeats=5), "got repeats 5"),
        (lambda: intervals.bootstrap(lambda v: math.nan, np.ones(3)), "got a statistic of nan"),
        (lambda: intervals.paired_difference(np.ones(3), np.ones(4)), "got 3 and 4 values"),
        (lambda: intervals.quantile(np.ones(3), 1.0), "got q 1.0"),
    ],
)
def test_bad_input_is_named(call, got: str) -> None:
    with pytest.raises(ValueError, match=got):
        call()


@pytest.mark.parametrize("worse", ["above", "below"])
@pytest.mark.parametrize("share", [0.03, 0.06, 0.08, 0.12, 0.2, 0.24])
@pytest.mark.parametrize("n", [60, 200])
def test_n_to_settle_settles_and_no_far_smaller_n_does(worse: str, share: float, n: int) -> None:
    # Warn at 0.1, fail far beyond it; the same share is measured again with the n that was asked for.
    if worse == "above":
        line = Line(warn=0.1, fail=0.25, worse="above")
    else:
        share, line = 1 - share, Line(warn=0.9, fail=0.75, worse="below")
    measured = intervals.proportion(round(share * n), n)
    if judge(measured, line) is not Verdict.UNSURE:
        return  # Settled already: there is nothing to ask for.
    asked = n_to_settle(measured, line)
    assert asked is not None

    def verdict(size: int) -> Verdict:
        return judge(intervals.proportion(round(measured.value * size), size), line)

    assert verdict(round(asked * 1.35) + 10) is not Verdict.UNSURE
    assert asked < 2 * n or verdict(round(asked * 0.5)) is Verdict.UNSURE


def test_n_to_settle_looks_at_the_line_that_matters() -> None:
    # The value lies near the failing line, but only the warning line makes it unsure.
    above = intervals.mean(np.random.default_rng(0).normal(0, 1, 100)).replace(value=0.24, low=0.04, high=0.44)
    assert n_to_settle(above, Line(warn=0.05, fail=0.25)) == 111
    below = above.replace(value=-0.24, low=-0.44, high=-0.04)
    assert n_to_settle(below, Line(warn=-0.05, fail=-0.25, worse="below")) == 111
    assert n_to_settle(above.replace(value=0.05), Line(warn=0.05, fail=0.25)) is None
    assert n_to_settle(above.replace(low=-math.inf), Line(warn=0.05, fail=0.25)) is None
