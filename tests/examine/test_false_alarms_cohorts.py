"""A small seeded slice of `benchmarks/false_alarms_cohorts.py`, and the record that it writes."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
QUICK = ("label-noise", "bias-variance", "seed-stability", "numeric-stability")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "false_alarms_cohorts_benchmark", BENCHMARKS / "false_alarms_cohorts.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["two classes", "values"])
def test_healthy_plans_raise_no_alarm(benchmark: ModuleType, kind: str) -> None:
    said = benchmark.verdicts(kind, 1000, QUICK)
    assert [one for one in said.values() if one.startswith(("warn", "fail", "error"))] == []


def test_rates_count_alarms_among_those_that_were_asked(benchmark: ModuleType) -> None:
    rows = {"a": {"label-noise": "pass"}, "b": {"label-noise": "warn: x"}, "c": {"label-noise": "skipped"}}
    found = benchmark.rates(rows)["label-noise"]
    assert found["alarms"]["value"] == 0.5
    assert found["alarms"]["n"] == 2
    assert found["verdicts"]["skipped"] == 1


def test_the_record_holds_few_false_alarms(benchmark: ModuleType) -> None:
    record = json.loads((BENCHMARKS / "records" / "false_alarms_cohorts.json").read_text())
    assert set(record["questions"]) == set(benchmark.CALIBRATED)
    for name, row in record["questions"].items():
        assert row["alarms"]["low"] <= 0.025, name
        assert row["verdicts"]["error"] == 0, name
