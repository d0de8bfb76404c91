from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from equipoise.core.data_plan import Split, TableData
from equipoise.data.decode import decode
from equipoise.data.given import splits_from
from equipoise.data.load import load


def house_table(n=400, seed=0):
    """A table with every kind of column, 20 % missing cells, and defects that must be counted."""
    generator = np.random.default_rng(seed)
    area = generator.uniform(40, 200, n).round(1)
    district = generator.choice(["north", "south", "harbour"], n, p=[0.5, 0.3, 0.2])
    frame = pd.DataFrame(
        {
            "row_id": np.arange(n) + 1000,
            "area": area,
            "rooms": generator.integers(1, 7, n),
            "district": district,
            "garden": generator.choice([True, False], n),
            "sold": pd.Timestamp("2020-01-01") + pd.to_timedelta(generator.integers(0, 900, n), unit="D"),
            "agent": [f"agent {i:04d} of many" for i in generator.permutation(n)],
            "country": "here",
            "remark": np.nan,
        }
    )
    frame["price"] = 1000 * area + 20_000 * (district == "harbour") + generator.normal(0, 5000, n)
    for name in ("area", "rooms", "district", "garden", "sold"):
        frame[name] = frame[name].where(generator.random(n) > 0.2)
    return frame


@pytest.fixture(params=["house.csv", "house.parquet"])
def house_file(request, tmp_path):
    path = tmp_path / request.param
    frame = house_table()
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def test_a_table_with_gaps_words_and_dates_is_read_and_every_repair_is_counted(house_file):
    splits = load(TableData(path=str(house_file), targets=("price",)), 0)
    kinds = {column.name: column.kind for column in splits.signature.inputs.columns}
    assert kinds == {
        "area": "numeric",
        "rooms": "numeric",
        "district": "category",
        "garden": "category",
        "sold": "date",
    }
    frame = house_table()
    inputs = pd.DataFrame(splits.train.inputs.numpy(), columns=list(kinds))
    source = frame.iloc[splits.rows["train"]].reset_index(drop=True)
    np.testing.assert_allclose(inputs["area"], source["area"].astype(np.float32))
    days = (source["sold"] - pd.Timestamp("1970-01-01")).dt.days
    np.testing.assert_allclose(inputs["sold"], days)
    districts = splits.signature.inputs.columns[2].categories
    assert districts == ("harbour", "north", "south")
    back = [None if np.isnan(code) else districts[int(code)] for code in inputs["district"]]
    assert back == [None if pd.isna(cell) else cell for cell in source["district"]]
    np.testing.assert_allclose(splits.train.targets[:, 0], source["price"], rtol=1e-6)
    missing = int(frame[list(kinds)].isna().to_numpy().sum())
    notes = " | ".join(splits.notes)
    assert f"{missing:,} missing cells of 2,000 are imputed" in notes
    assert "'row_id' was left out: it numbers the rows" in notes
    assert "'agent' was left out" in notes
    assert "'country' was left out: constant 'here'" in notes
    assert "'remark' was left out: all its 260 training cells are missing" in notes
    assert all(splits.preprocessing.inputs.missing)


def test_decoding_gives_back_the_raw_tensor_bit_by_bit(house_file):
    splits = load(TableData(path=str(house_file), targets=("price",)), 0)
    rows = house_table().iloc[splits.rows["test"]]
    for raw in (rows, rows.to_dict("records"), rows.drop(columns=["row_id", "price"])):
        assert torch.equal(
            torch.nan_to_num(decode(splits.signature, raw), -1), torch.nan_to_num(splits.test.inputs, -1)
        )
    one = decode(splits.signature, rows.iloc[0].to_dict())
    assert torch.equal(torch.nan_to_num(one[0], -1), torch.nan_to_num(splits.test.inputs[0], -1))
    for raw in (splits.test.inputs, splits.test.inputs.double().numpy()):
        assert torch.equal(decode(splits.signature, raw).isnan(), splits.test.inputs.isnan())
        assert torch.equal(decode(splits.signature, raw).nan_to_num(), splits.test.inputs.nan_to_num())
    words = np.array([[1, 2, "north", True, "2020-02-01"]], dtype=object)
    assert decode(splits.signature, words).tolist() == [[1, 2, 1, 1, 18293]]


def test_the_same_seed_gives_the_same_digest_and_another_seed_another_split(house_file):
    plan = TableData(path=str(house_file), targets=("price",))
    assert load(plan, 3).digest == load(plan, 3).digest
    assert load(plan, 3).digest != load(plan, 4).digest
    assert len(load(plan, 3).digest) == 64


def test_categories_and_scales_come_from_the_training_part_only(tmp_path):
    frame = pd.DataFrame(
        {
            "day": np.arange(100),
            "colour": ["red", "blue"] * 40 + ["green"] * 20,
            "x": [0.0, 2.0] * 40 + [1e6] * 20,
            "y": [0, 1] * 50,
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    split = Split(method="time", column="day", test=0.1, validation=0.1)
    splits = load(TableData(path=str(tmp_path / "t.csv"), targets=("y",), split=split), 0)
    colour, x = splits.signature.inputs.columns
    assert colour.categories == ("blue", "red")
    assert splits.test.inputs[:, 0].isnan().all()
    assert splits.preprocessing.inputs.mean[1] == 1.0
    assert x.name == "x"
    assert any("20 cells are rare or unseen categories ('green')" in note for note in splits.notes)
    assert any("divides the rows by time and is no input" in note for note in splits.notes)


def test_no_group_is_in_two_parts_and_groups_are_kept(tmp_path):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"patient": generator.integers(0, 30, 300), "x": generator.random(300), "y": generator.integers(0, 2, 300)}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    plan = TableData(path=str(tmp_path / "t.csv"), targets=("y",), split=Split(method="group", column="patient"))
    splits = load(plan, 0)
    held = {part: set(splits.groups[part]) for part in splits.groups}
    assert held["train"].isdisjoint(held["test"])
    assert held["train"].isdisjoint(held["validation"])
    assert held["test"].isdisjoint(held["validation"])
    for part, rows in splits.rows.items():
        assert (frame["patient"].iloc[rows].astype(str).to_numpy() == splits.groups[part]).all()


def test_rows_without_a_target_are_dropped_and_counted(tmp_path):
    frame = pd.DataFrame({"x": np.arange(50.0) / 7, "y": [1.5, np.nan, 2.5, 3.5, 0.5] * 10})
    frame.to_csv(tmp_path / "t.csv", index=False)
    splits = load(TableData(path=str(tmp_path / "t.csv"), targets=("y",)), 0)
    assert "10 of 50 rows were dropped: their target is missing" in splits.notes
    kept = np.concatenate(list(splits.rows.values()))
    assert sorted(kept) == [i for i in range(50) if i % 5 != 1]
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 40


def test_mixed_columns(tmp_path):
    n = 100
    frame = pd.DataFrame(
        {
            "mostly_numbers": ["n/k" if i % 20 == 0 else str(i * 0.5) for i in range(n)],
            "mostly_dates": ["soon" if i % 25 == 0 else f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(n)],
            "half": ["few" if i % 2 else str(i % 10) for i in range(n)],
            "german": [f"{1 + i % 28:02d}.{1 + i % 12:02d}.2023" for i in range(n)],
            "american": [f"{1 + i % 12:02d}/{1 + i % 9:02d}/2023" for i in range(n)],
            "y": ["a", "b"] * 50,
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False, sep=";")
    splits = load(TableData(path=str(tmp_path / "t.csv")), 0)
    columns = {column.name: column for column in splits.signature.inputs.columns}
    assert {name: column.kind for name, column in columns.items()} == {
        "mostly_numbers": "numeric",
        "mostly_dates": "date",
        "half": "category",
        "german": "date",
        "american": "date",
    }
    assert columns["german"].format == "%d.%m.%Y"
    notes = " | ".join(splits.notes)
    assert "'mostly_numbers': 5 cells are no numbers ('n/k')" in notes
    assert "'mostly_dates': 4 cells are no dates ('soon')" in notes
    assert "'american': dates could be month or day first and are read month first" in notes
    assert "target 'y': chosen by its name" in notes
    row = decode(
        splits.signature,
        {"mostly_numbers": 3, "mostly_dates": "2024-01-02", "half": "few", "german": "03.02.2023", "american": None},
    )
    assert row[0, 0] == 3
    assert row[0, 1] == (pd.Timestamp("2024-01-02") - pd.Timestamp(0)).days
    assert row[0, 3] == (pd.Timestamp("2023-02-03") - pd.Timestamp(0)).days
    assert row[0, 4].isnan()


def test_times_and_zones_are_days_in_utc(tmp_path):
    frame = pd.DataFrame({"t": ["2024-03-01T12:00:00+02:00", "2024-03-02T00:00:00Z"] * 10, "y": ["a", "b"] * 10})
    frame.to_csv(tmp_path / "t.csv", index=False)
    splits = load(TableData(path=str(tmp_path / "t.csv")), 0)
    start = (pd.Timestamp("2024-03-01") - pd.Timestamp(0)).days - splits.signature.inputs.columns[0].offset
    assert sorted(set(splits.train.inputs[:, 0].tolist())) == pytest.approx([start + 10 / 24, start + 1], abs=1e-6)


def test_many_categories_keep_the_most_frequent(tmp_path):
    generator = np.random.default_rng(0)
    words = generator.choice([f"w{i:03d}" for i in range(120)], 4000, p=np.arange(1, 121) / np.arange(1, 121).sum())
    pd.DataFrame({"word": words, "y": generator.integers(0, 2, 4000)}).to_csv(tmp_path / "t.csv", index=False)
    splits = load(TableData(path=str(tmp_path / "t.csv"), targets=("y",)), 0)
    (column,) = splits.signature.inputs.columns
    counts = pd.Series(words[splits.rows["train"]]).value_counts()
    assert len(column.categories) == 50
    assert min(counts[list(column.categories)]) >= max(counts.drop(list(column.categories)))
    lost = int(counts.sum() - counts[list(column.categories)].sum())
    assert any(
        f"50 most frequent of {len(counts)} categories are kept; {lost:,} training cells" in note
        for note in splits.notes
    )


def test_several_targets(tmp_path):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.random((60, 4)), columns=["a", "b", "c", "d"])
    frame["rain"], frame["wind"] = generator.integers(0, 2, (2, 60))
    frame.to_csv(tmp_path / "t.csv", index=False)
    path = str(tmp_path / "t.csv")
    splits = load(TableData(path=path, targets=("rain", "wind"), ignore=("d",)), 0)
    assert splits.signature.task.kind == "multilabel"
    assert [column.name for column in splits.signature.inputs.columns] == ["a", "b", "c"]
    assert "left out as asked: d" in splits.notes
    splits = load(TableData(path=path, targets=("a", "b")), 0)
    assert splits.signature.task.kind == "regression"
    assert len(splits.preprocessing.target_mean) == 2
    splits = load(TableData(path=path, task="clustering", clusters=4), 0)
    assert splits.signature.task.clusters == 4
    assert (splits.train.targets == -1).all()
    splits = load(TableData(path=path, task="reconstruction"), 0)
    assert splits.train.targets.shape == (39, 0)


def test_tabs_byte_order_marks_and_quotes(tmp_path):
    rows = "".join(f'{i * 0.5}\t"a, b"\t{"x" if i % 2 else "y"}\n' if i % 3 else f"{i}\tc\tz\n" for i in range(30))
    (tmp_path / "t.tsv").write_text("number\tword\tlabel\n" + rows, encoding="utf-8-sig")
    splits = load(TableData(path=str(tmp_path / "t.tsv")), 0)
    assert [column.name for column in splits.signature.inputs.columns] == ["number", "word"]
    assert splits.signature.inputs.columns[1].categories == ("a, b", "c")
    assert splits.signature.task.classes == ("x", "y", "z")


def test_a_class_missing_from_a_part_is_told(tmp_path):
    frame = pd.DataFrame({"day": np.arange(60), "x": np.arange(60) % 7, "y": ["a", "b"] * 25 + ["c"] * 10})
    frame.to_csv(tmp_path / "t.csv", index=False)
    split = Split(method="time", column="day")
    splits = load(TableData(path=str(tmp_path / "t.csv"), split=split), 0)
    assert "the train part has no sample of 1 of 3 classes: 'c'" in splits.notes


def test_decimal_commas(tmp_path):
    rows = "".join(f"{i},5;{i}.1.2024;{'x' if i % 2 else 'y'};-0,{i}\n" for i in range(10, 28))
    (tmp_path / "t.csv").write_text("a;day;label;b\n" + rows)
    splits = load(TableData(path=str(tmp_path / "t.csv")), 0)
    assert [column.kind for column in splits.signature.inputs.columns] == ["numeric", "date", "numeric"]
    first = splits.train.inputs[0].tolist()
    row = int(splits.rows["train"][0]) + 10
    assert first == pytest.approx([row + 0.5, 19723 + row - 1, -row / 100])


def test_types_of_pandas_and_of_python(tmp_path):
    n = 40
    frame = pd.DataFrame(
        {
            "nullable": pd.array([None if i % 5 == 0 else i for i in range(n)], dtype="Int64"),
            "flag": pd.array([None if i % 7 == 0 else bool(i % 2) for i in range(n)], dtype="boolean"),
            "coded": pd.Categorical([i % 3 for i in range(n)]),
            "arrow": pd.array(["a", "b", None, "c"] * 10, dtype="string[pyarrow]"),
            "zoned": pd.date_range("2024-01-01", periods=n, tz="Europe/Berlin"),
            "python_dates": [None if i == 0 else date(2024, 1, 1 + i % 28) for i in range(n)],
            "decimals": [Decimal(i) / 4 for i in range(n)],
            "label": [True, False] * 20,
        }
    )
    splits = splits_from(frame)
    kinds = {column.name: column.kind for column in splits.signature.inputs.columns}
    assert kinds == {
        "nullable": "numeric",
        "flag": "category",
        "coded": "category",
        "arrow": "category",
        "zoned": "date",
        "python_dates": "date",
        "decimals": "numeric",
    }
    assert splits.signature.task.classes == ("False", "True")
    frame.drop(columns="decimals").to_parquet(tmp_path / "t.parquet")
    again = load(TableData(path=str(tmp_path / "t.parquet")), 0)
    kept = [name for name in kinds if name != "decimals"]
    expected = splits.test.inputs[:, [i for i, name in enumerate(kinds) if name in kept]]
    assert torch.equal(again.test.inputs.nan_to_num(-1), expected.nan_to_num(-1))
    assert torch.equal(decode(splits.signature, frame.iloc[splits.rows["test"]]).isnan(), splits.test.inputs.isnan())
