"""Trials that may stop early, against the enumeration of everything that could have happened."""

import itertools

import numpy as np
import pytest

from equipoise.stats.discovery import next_level, weight
from equipoise.stats.paired import sign_flip_p
from equipoise.stats.sequential import LOOKS, look, spending

SMALL = (4, 6, 9)


def stops(differences, alpha, looks):
    """Return the look at which a trial stops, or None."""
    return next((n for n in looks if look(differences[:n], alpha, looks).rejects), None)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.4])
def test_of_all_trials_that_could_have_been_few_enough_stop(alpha):
    sizes = np.random.default_rng(3).lognormal(size=SMALL[-1])
    ended = [stops(sizes * signs, alpha, SMALL) for signs in itertools.product((1, -1), repeat=SMALL[-1])]
    for n in SMALL:
        assert np.mean([end is not None and end <= n for end in ended]) <= spending(n / SMALL[-1], alpha)
    assert np.mean([end is not None for end in ended]) > 0.8 * alpha - 2 / 2**9


def test_ties_and_zeros_are_no_loophole():
    sizes = np.array([0.0, 0.1, 0.1, 0.2, 0.3, 0.3, 0.0, 0.2, 0.1])
    ended = [stops(sizes * signs, 0.2, SMALL) for signs in itertools.product((1, -1), repeat=9)]
    assert np.mean([end is not None for end in ended]) <= 0.2
    assert look([0.0] * 6, 0.05).p_value == 1.0


def test_the_first_look_is_the_sign_flip_test():
    values = np.random.default_rng(0).normal(0.5, 1, 6)
    assert look(values, 0.05).p_value == pytest.approx(sign_flip_p(values))


def test_six_that_agree_are_enough():
    said = look([0.1, 0.2, 0.1, 0.3, 0.2, 0.1], 0.05)
    assert said.rejects
    assert said.p_value == 2 / 64


def test_a_later_look_pays_for_the_earlier_ones():
    values = np.random.default_rng(1).normal(0.3, 1, 16)
    assert look(values, 0.05).p_value > sign_flip_p(values)


def test_the_order_within_a_look_and_the_unit_do_not_matter():
    values = np.random.default_rng(2).normal(0.6, 1, 6)
    assert look(values, 0.05) == look(values[::-1], 0.05) == look(1e-9 * values, 0.05)


def test_looks_that_are_not_planned_are_refused():
    with pytest.raises(ValueError, match=r"got 7 differences .* expected finite ones, as many as one of the looks"):
        look([1.0] * 7, 0.05)
    with pytest.raises(ValueError, match="finite"):
        look([float("nan")] * 6, 0.05)


def test_levels_sum_to_the_rate_and_grow_with_discoveries():
    assert sum(weight(i) for i in range(1, 200_000)) == pytest.approx(1.0, abs=2e-3)
    assert next_level([]) == pytest.approx(0.1 * weight(1))
    assert next_level([True, True]) == pytest.approx(3 * next_level([False, False]))


def test_false_discoveries_stay_within_the_rate():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        found, false = [], 0
        shared = rng.normal()  # p values that depend on one another, as those with common controls do
        for number in range(20):
            null = number % 2 == 0
            z = 0.6 * shared + 0.8 * rng.normal() + (0 if null else 3)
            p = float(np.mean(z < rng.normal(size=2000)))
            found.append(p <= next_level(found))
            false += found[-1] and null
        shares.append(false / max(1, sum(found)))
    assert np.mean(shares) <= 0.1


def test_the_planned_looks_are_those_of_the_trials():
    assert LOOKS == (6, 10, 16)
