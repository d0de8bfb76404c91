"""The benchmark of time to accuracy stays alive, and counts what it says it counts."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def script():
    return importlib.import_module("benchmarks.time_to_accuracy")


def bars_of_light(n=240):
    """Return images (n, 28, 28) with one bright band each, and which of ten it is."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(n) % 10)
    images = rng.integers(0, 60, (n, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 3 : 2 * label + 6] += 150
    return images, labels


@pytest.mark.parametrize("workload", ["w2", "w3"])
def test_only_what_the_fit_does_is_counted(workload, monkeypatch):
    from equipoise.data.given import splits_from

    module, clock = script(), [0.0]
    splits = splits_from(bars_of_light(), seed=0)
    monkeypatch.setattr(module.time, "process_time", lambda: clock[0])

    def accuracy(scores, inputs, targets, original=module.accuracy):
        clock[0] += 100.0  # the look itself
        return original(scores, inputs, targets)

    monkeypatch.setattr(module, "accuracy", accuracy)
    plan = module.chosen_plan(splits, workload, 0).replace(recipe__epochs=3, recipe__patience=None)
    assert plan.network == module.FAMILIES[workload]
    state = torch.get_rng_state()
    row = module.ours(splits, plan, 0, goal=0.0)
    assert torch.equal(state, torch.get_rng_state())
    assert row["whole_cpu_s"] == 0.0
    assert len(row["looks"]) >= 3
    assert row["looks"][-1][1] == pytest.approx(row["accuracy"], abs=1e-5)
    assert module.ours(splits, plan, 0, goal=1.1)["cpu_s"] is None
    assert module.ours(splits, plan, 0, goal=0.0, stop=True)["stopped"] == "interrupted"


def test_a_tutorial_learns_what_it_is_shown(monkeypatch):
    from equipoise.data.given import splits_from

    module = script()
    monkeypatch.setattr(module, "EPOCHS", 12)
    found = module.tutorial(splits_from(bars_of_light(), seed=0), "w2", 0)
    assert found["accuracy"] > 0.9
    assert found["cpu_s"] > 0


def test_a_goal_that_was_never_reached_breaks_the_bar():
    module = script()

    def row(theirs, ours):
        return {"tutorial": {"cpu_s": theirs, "accuracy": 0.9}, "equipoise": {"cpu_s": ours, "accuracy": 0.9}}

    assert module.summary([row(10.0, 1.0), row(12.0, 2.0)])["verdict"] == "holds"
    assert module.summary([row(10.0, 1.0), row(12.0, None)])["verdict"] == "unsure"
    assert module.summary([row(10.0, 9.0), row(12.0, None)])["verdict"] == "broken"
    assert module.summary([row(10.0, 1.0), row(12.0, 2.0)])["times_less"]["value"] == 8.0


def test_the_whole_run_writes_a_record(monkeypatch, tmp_path):
    module = script()
    images, labels = bars_of_light()
    np.savez(tmp_path / "bars.npz", images=images, labels=labels)
    monkeypatch.setattr(module, "EPOCHS", 1)
    short = module.chosen_plan
    monkeypatch.setattr(
        module, "chosen_plan", lambda *given: short(*given).replace(recipe__epochs=2, recipe__patience=None)
    )
    out = tmp_path / "record.json"
    module.main(["--data", str(tmp_path / "bars.npz"), "--only", "dense", "--seeds", "3", "--out", str(out)])
    record = json.loads(out.read_text())
    (row,) = record["workloads"]["dense"]["rows"]
    assert row["equipoise"]["execution"]["threads"] == 1
    assert record["workloads"]["dense"]["at_least"] == 5.0
    assert record["data"] == "bars.npz: 240 images"
