"""A small seeded slice of `benchmarks/detectors_false_alarms.py`, and the record that it wrote."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from equipoise.vitals.detectors.all import all_detectors

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SLICE = ("mlp_relu_adam", "batch_norm_stack", "single_samples", "full_batch", "recurrent", "small_plane")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("detectors_false_alarms", BENCHMARKS / "detectors_false_alarms.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", SLICE)
def test_healthy_trainings_raise_no_alarm(benchmark, kind):
    windows = benchmark.windows_of(kind, 0, "reference")
    assert benchmark.went_well(windows)
    assert benchmark.alarms_of(windows)[0] == []


def test_the_record_holds_every_detector_and_few_false_alarms(benchmark):
    record = json.loads(benchmark.RECORD.read_text())
    assert set(record["detectors"]) == {one.name for one in all_detectors()}
    assert set(record["kinds"]) == set(benchmark.HEALTHY)
    assert record["false_alarm_rate"]["value"] <= 0.01
    assert record["not_well"] <= 0.2 * record["trainings"]
