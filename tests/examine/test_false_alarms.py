"""A small seeded slice of `benchmarks/false_alarms.py`, and the record that it wrote."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("false_alarms_benchmark", BENCHMARKS / "false_alarms.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_healthy_networks_raise_no_alarm_on_a_few_seeds(benchmark: ModuleType) -> None:
    counts = benchmark.tally(range(2), benchmark.calibrated_questions())
    alarms = {name: one["warn"] + one["fail"] for name, one in counts.items()}
    assert sum(alarms.values()) == 0, alarms
    assert sum(one["error"] for one in counts.values()) == 0, counts


def test_the_record_holds_every_calibrated_question_and_few_false_alarms(benchmark: ModuleType) -> None:
    record = json.loads((BENCHMARKS / "records" / "false_alarms.json").read_text())
    assert set(record["questions"]) == set(benchmark.CALIBRATED)
    assert record["seeds_a_subject"] >= 100
    for name, row in record["questions"].items():
        assert row["alarms"]["value"] <= 0.025, name
        assert row["verdicts"]["error"] == 0, name
