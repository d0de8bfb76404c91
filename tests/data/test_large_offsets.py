"""Numbers far from 0 that differ by little keep their differences, or it is said that they cannot."""

import numpy as np
import pandas as pd
import pytest
import torch

from equipoise.core.signature import Column, TableInput
from equipoise.data.decode import decode
from equipoise.data.given import splits_from
from equipoise.data.numbers import fit_numbers
from equipoise.data.tiles import cell, tile

N = 300


def read(values, name="x"):
    """Return the splits of a table with this column, one more, and a target of two classes."""
    generator = np.random.default_rng(1)
    frame = pd.DataFrame({name: values, "other": generator.normal(size=N), "y": generator.integers(0, 2, N)})
    return frame, splits_from(frame, targets=("y",), seed=0)


def test_unix_stamps_keep_their_seconds():
    seconds = np.random.default_rng(0).integers(0, 60, N)
    frame, splits = read(1_700_000_000 + seconds)
    spec = splits.signature.inputs
    decoded = decode(splits.signature, frame[["x", "other"]])
    assert len(decoded[:, 0].unique()) == 60
    assert (decoded[:, 0].double().numpy() + spec.columns[0].offset == 1_700_000_000 + seconds).all()
    assert torch.equal(decode(splits.signature, {"x": 1_700_000_037, "other": 0.0})[0, 0] - 37, decoded_zero(splits))
    assert fit_numbers(splits.train, splits.signature).inputs.scale[0] == pytest.approx(seconds.std(), rel=0.1)
    row = decode(splits.signature, {"x": 1_700_000_037, "other": 0.0})[0]
    assert tile(spec, row, "").cells["x"] == "1,700,000,037"
    assert any("'x': held less 1,700,000,0" in note for note in splits.notes)
    assert TableInput.read(spec.plain()) == spec


def decoded_zero(splits):
    return decode(splits.signature, {"x": 1_700_000_000, "other": 0.0})[0, 0]


def test_ordinary_columns_keep_their_values():
    for values in (np.random.default_rng(0).normal(5, 1, N), np.arange(N), np.random.default_rng(0).lognormal(0, 9, N)):
        frame, splits = read(values)
        assert splits.signature.inputs.columns[0].offset == 0
        assert torch.equal(decode(splits.signature, frame)[:, 0], torch.from_numpy(np.float32(frame["x"])))


@pytest.mark.parametrize("as_text", [False, True])
def test_dates_keep_their_minutes(as_text):
    minutes = np.random.default_rng(0).permutation(N)
    dates = pd.Series(pd.Timestamp("2024-05-01") + pd.to_timedelta(minutes, unit="min"))
    frame, splits = read(dates.dt.strftime("%Y-%m-%d %H:%M:%S") if as_text else dates)
    column = splits.signature.inputs.columns[0]
    decoded = decode(splits.signature, frame)[:, 0]
    assert len(decoded.unique()) == N
    assert column.offset % 1 == 0
    shown = [cell(column, float(value)) for value in decoded[:20]]
    expected = [f"{date:%Y-%m-%d}" + (f" {date:%H:%M}" if date.hour or date.minute else "") for date in dates[:20]]
    assert shown == expected


def test_times_over_years_are_shown_to_the_minute():
    hours = np.random.default_rng(0).permutation(N) * 97
    dates = pd.Series(pd.Timestamp("2021-05-01 18:00") + pd.to_timedelta(hours, unit="h"))
    frame, splits = read(dates)
    column = splits.signature.inputs.columns[0]
    shown = [cell(column, float(value)) for value in decode(splits.signature, frame)[:, 0]]
    assert [pd.Timestamp(one) for one in shown] == list(dates)


def test_whole_numbers_beyond_float64_keep_their_units():
    frame, splits = read(10**18 + np.arange(N, dtype=np.int64))
    column = splits.signature.inputs.columns[0]
    decoded = decode(splits.signature, frame)[:, 0]
    assert len(decoded.unique()) == N
    assert cell(column, float(decoded[7])) == "1,000,000,000,000,000,007"


def test_huge_identifiers_are_left_out():
    _, splits = read(10**18 + np.arange(N, dtype=np.int64), "id")
    assert any("'id' was left out: it numbers the rows" in note for note in splits.notes)
    halves = np.where(np.arange(N) % 2, 0, 10**15) + np.arange(N)
    _, splits = read(halves)
    assert any("'x' was left out: it numbers the rows" in note for note in splits.notes)


def test_what_float32_still_merges_is_told():
    generator = np.random.default_rng(0)
    _, splits = read(np.where(generator.random(N) < 0.5, 1e12, -1e12) + generator.random(N))
    assert any("different values are" in note and "in float32" in note for note in splits.notes)


def test_a_sentinel_far_away_hides_no_seconds():
    values = 1_700_000_000 + np.random.default_rng(0).integers(0, 60, N)
    values[::50] = 0
    frame, splits = read(values)
    assert len(decode(splits.signature, frame)[:, 0].unique()) == len(np.unique(values))


def test_cells_with_an_offset_are_shown_in_full():
    column = Column(name="p", kind="numeric", offset=101_325.5)
    assert [cell(column, value) for value in (0.0, 0.25, -0.001, np.nan)] == [
        "101,325.5",
        "101,325.75",
        "101,325.499",
        "missing",
    ]


@pytest.mark.parametrize("base", [10**9, 10**18])
def test_targets_that_float32_would_merge_are_refused_with_a_cure(base):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"x": generator.normal(size=N), "y": base + generator.integers(0, 100, N)})
    with pytest.raises(ValueError, match=r"got targets in 'y'.*expected steps.*Subtract an offset"):
        splits_from(frame, targets=("y",), task="regression")
    frame["y"] -= base
    assert len(splits_from(frame, targets=("y",), task="regression").train.targets.unique()) > 80
