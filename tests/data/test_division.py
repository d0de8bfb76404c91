import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.core.data_plan import Split
from equipoise.data.split import PARTS, Division, divide


def check_partition(parts, n):
    assert set(parts) == set(PARTS)
    together = np.concatenate([parts[name] for name in PARTS])
    assert sorted(together) == list(range(n))
    assert all(len(parts[name]) > 0 for name in PARTS)
    assert all((np.diff(parts[name]) > 0).all() for name in PARTS)


shares = st.tuples(st.floats(0.05, 0.4), st.floats(0.05, 0.4))


@settings(max_examples=60, deadline=None, database=None)
@given(n=st.integers(8, 300), share=shares, seed=st.integers(0, 2**31))
def test_random_parts_are_disjoint_complete_and_of_the_right_size(n, share, seed):
    parts = divide(n, Split(method="random", validation=share[0], test=share[1]), seed)
    check_partition(parts, n)
    assert len(parts["test"]) == max(1, round(n * share[1]))
    assert len(parts["validation"]) == max(1, round(n * share[0]))


@settings(max_examples=80, deadline=None, database=None)
@given(counts=st.lists(st.integers(3, 60), min_size=2, max_size=8), share=shares, seed=st.integers(0, 2**31))
def test_stratified_parts_keep_each_class_in_proportion(counts, share, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    if len(labels) < 8:
        return
    parts = divide(len(labels), Split(validation=share[0], test=share[1]), seed, labels=labels)
    check_partition(parts, len(labels))
    for name, wanted in (("validation", share[0]), ("test", share[1])):
        for i, count in enumerate(counts):
            got = int((labels[parts[name]] == i).sum())
            assert got >= 1
            assert got <= max(1, np.ceil(count * wanted))
            assert got >= min(np.floor(count * wanted), count - 2) or got >= 1
    assert all((labels[parts["train"]] == i).any() for i in range(len(counts)))


def test_stratified_totals_keep_the_shares_with_many_small_classes():
    labels = np.repeat(np.arange(100), 10)
    parts = divide(1000, Split(validation=0.15, test=0.25), 0, labels=labels)
    assert (len(parts["validation"]), len(parts["test"])) == (150, 250)


@settings(max_examples=60, deadline=None, database=None)
@given(sizes=st.lists(st.integers(1, 30), min_size=3, max_size=25), seed=st.integers(0, 2**31))
def test_no_group_is_in_two_parts(sizes, seed):
    names = np.array([f"patient {i}" for i in range(len(sizes))], dtype=object)
    groups = np.random.default_rng(seed).permutation(np.repeat(names, sizes))
    if len(groups) < 8:
        return
    split = Split(method="group")
    parts = divide(len(groups), split, seed, groups=groups)
    check_partition(parts, len(groups))
    held = [set(groups[parts[name]]) for name in PARTS]
    assert held[0].isdisjoint(held[1])
    assert held[0].isdisjoint(held[2])
    assert held[1].isdisjoint(held[2])
    if len(sizes) > 6:
        for name, share in (("train", 0.65), ("validation", 0.15), ("test", 0.2)):
            assert abs(len(parts[name]) - share * len(groups)) <= 2 * max(sizes)


@settings(max_examples=60, deadline=None, database=None)
@given(seed=st.integers(0, 2**31), n=st.integers(8, 200), distinct=st.integers(3, 50))
def test_each_part_is_strictly_later_than_the_one_before(seed, n, distinct):
    times = np.random.default_rng(seed).integers(0, distinct, n).astype(float)
    if len(np.unique(times)) < 3:
        return
    parts = divide(n, Split(method="time"), seed, times=times)
    check_partition(parts, n)
    assert times[parts["train"]].max() < times[parts["validation"]].min()
    assert times[parts["validation"]].max() < times[parts["test"]].min()


def test_distinct_times_give_the_shares():
    times = np.random.default_rng(0).permutation(200).astype(float)
    parts = divide(200, Split(method="time", validation=0.1, test=0.2), 0, times=times)
    assert set(times[parts["test"]]) == set(range(160, 200))
    assert set(times[parts["validation"]]) == set(range(140, 160))


def test_the_same_seed_gives_the_same_parts_and_the_splits_own_seed_goes_first():
    labels = np.arange(90) % 3
    first = divide(90, Split(), 5, labels=labels)
    again = divide(90, Split(), 5, labels=labels)
    other = divide(90, Split(), 6, labels=labels)
    own = divide(90, Split(seed=5), 6, labels=labels)
    assert all((first[name] == again[name]).all() and (first[name] == own[name]).all() for name in PARTS)
    assert any((first[name] != other[name]).any() for name in PARTS)


def test_every_sample_is_as_likely_in_the_test_part():
    hits = np.zeros(40)
    for seed in range(400):
        hits[divide(40, Split(), seed, labels=np.arange(40) % 2)["test"]] += 1
    # Binomial(400, 0.2): five deviations are 40.
    assert np.abs(hits - 80).max() < 40


def test_parts_handed_over_are_kept_and_missing_ones_come_from_training():
    given_parts = np.array(["train"] * 40 + ["test"] * 10)
    positions = Division(Split(), 0, parts=given_parts).positions(50, np.arange(50) % 2)
    check_partition(positions, 50)
    assert (positions["test"] == np.arange(40, 50)).all()
    assert positions["validation"].max() < 40
    full = np.array(["train", "validation", "test"] * 2)
    positions = Division(Split(), 0, parts=full).positions(6)
    assert [list(positions[name]) for name in PARTS] == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("n", "split", "extra", "message"),
    [
        (7, Split(), {}, "got 7 samples; expected at least 8"),
        (50, Split(validation=0.5, test=0.5), {}, "got a validation share of 0.5 .* expected a sum below 1"),
        (20, Split(), {"labels": np.array([0] * 18 + [1] * 2)}, "fewer than 3 samples: 1 .2.; expected at least 3"),
        (20, Split(method="group"), {}, "got split method 'group' without a group .* expected one"),
        (20, Split(method="group"), {"groups": np.array(["a", "b"] * 10)}, "got 2 groups; expected at least 3"),
        (
            20,
            Split(method="group"),
            {"groups": np.array(["a", "b", None, "c"] * 5, dtype=object)},
            "got 5 samples without a group",
        ),
        (20, Split(method="time"), {"times": np.repeat([1.0, 2.0], 10)}, "got 2 distinct times; expected at least 3"),
        (20, Split(method="time"), {"times": np.r_[np.nan, np.arange(19.0)]}, "got 1 samples without a time; expected"),
        (
            20,
            Split(method="time"),
            {"times": np.arange(19.0)},
            "got 19 entries .* for 20 samples; expected one a sample",
        ),
        (8, Split(validation=0.45, test=0.5), {}, "got an empty train part from 8 samples; expected"),
    ],
)
def test_impossible_divisions_say_why(n, split, extra, message):
    with pytest.raises(ValueError, match=message):
        divide(n, split, 0, **extra)
