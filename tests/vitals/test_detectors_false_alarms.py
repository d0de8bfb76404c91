"""A small seeded slice of `benchmarks/detectors_false_alarms.py`, and the record that it wrote."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

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
    assert benchmark.went_well(windows, benchmark.constant_loss(benchmark.healthy(kind, 0)))
    assert benchmark.alarms_of(windows)[0] == []


def test_a_network_that_died_did_not_go_well(benchmark):
    training = benchmark.healthy("mlp_relu_adam", 0)
    counts = torch.bincount(training.targets).double() / len(training.targets)
    entropy = float(-(counts * counts.log()).sum())
    assert benchmark.constant_loss(training) == pytest.approx(entropy, rel=1e-3)
    losses = np.concatenate([np.full(8, 9.0), np.full(120, entropy)])  # a wild start, then the share of each class
    assert not benchmark.went_well([SimpleNamespace(loss=losses)], entropy)
    assert benchmark.went_well([SimpleNamespace(loss=losses * np.linspace(1, 0.5, 128))], entropy)


def test_the_record_holds_every_detector_and_few_false_alarms(benchmark):
    record = json.loads(benchmark.RECORD.read_text())
    assert set(record["detectors"]) == {one.name for one in all_detectors()}
    assert set(record["kinds"]) == set(benchmark.HEALTHY)
    assert record["false_alarm_rate"]["value"] <= 0.01
    assert record["not_well"] <= 0.2 * record["trainings"]
