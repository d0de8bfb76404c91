import json

import numpy as np
import pandas as pd
import pytest

from equipoise.vitals.history import History
from equipoise.vitals.series import LIMIT, Series


def filled(values, cuts):
    series = Series("loss", "1", "train")
    for block in np.split(np.arange(len(values)), cuts):
        series.add(block + 1, values[block])
    return series


@pytest.mark.parametrize("n", [1, 511, 512, 513, 5000, 70_001])
def test_a_series_stays_bounded_and_exact_at_its_edges(n):
    values = np.random.default_rng(0).normal(size=n)
    series = filled(values, [])
    buckets = series.buckets()
    assert len(buckets) <= LIMIT
    width, start = series.width, 0
    for last, median, low, high in buckets:
        block = values[start:last]
        assert (low, high) == (block.min(), block.max())
        assert low <= median <= high
        assert len(block) == width or last == n
        start = last
    assert start == n


def test_medians_are_exact_until_buckets_are_merged():
    values = np.random.default_rng(0).normal(size=LIMIT - 1)
    assert [bucket[1] for bucket in filled(values, []).buckets()] == values.tolist()
    steady = filled(np.repeat([1.0, 5.0], 5000), [])
    medians = [bucket[1] for bucket in steady.buckets()]
    assert medians == sorted(medians)
    assert (medians[0], medians[-1]) == (1.0, 5.0)


def test_it_does_not_matter_how_many_come_at_a_time():
    values = np.random.default_rng(1).normal(size=3000)
    whole = filled(values, [])
    cuts = np.sort(np.random.default_rng(2).integers(0, 3000, 40))
    assert filled(values, cuts).state() == whole.state()
    assert filled(values[:1400], range(1400)).state() == filled(values[:1400], []).state()


def test_a_number_that_is_none_survives_merging():
    values = np.ones(5000)
    values[17] = np.nan
    assert np.isnan(filled(values, []).buckets()[1][2:]).all()


def test_state_goes_through_json():
    series = filled(np.random.default_rng(0).normal(size=1300), [])
    again = Series.restored(json.loads(json.dumps(series.state())))
    for one in (series, again):
        one.add(np.arange(1301, 2001), np.random.default_rng(5).normal(size=700))
    assert again.buckets() == series.buckets()


def test_history_is_written_as_parquet_and_read_back(tmp_path):
    history = History()
    history.record_steps(np.array([1, 2, 3]), np.array([3.0, 2.0, 1.5]))
    history.record_sampled(np.array([1]), np.array([9.0]), np.array([0.1]))
    history.record_epoch(3, 1.7, 0.8)
    history.record_step(4, 1.2, float("nan"), float("nan"))
    path = tmp_path / "history.parquet"
    history.write(path)
    table = pd.read_parquet(path)
    assert list(table.columns) == ["name", "part", "unit", "step", "value", "low", "high"]
    loss = table[(table.name == "loss") & (table.part == "train")]
    assert loss.value.tolist() == [3.0, 2.0, 1.5, 1.2]
    assert table[table.name == "score"].value.tolist() == [0.8]
    again = History.restored(json.loads(json.dumps(history.state())))
    assert again.vitals() == history.vitals()
    assert [path.name for path in tmp_path.iterdir()] == ["history.parquet"]


def test_a_failed_write_leaves_the_old_history_whole(tmp_path, monkeypatch):
    history = History()
    history.record_epoch(1, 1.0, 0.5)
    path = tmp_path / "history.parquet"
    history.write(path)
    before = path.read_bytes()

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    with pytest.raises(OSError, match="No space"):
        history.write(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
