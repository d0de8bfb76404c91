"""The benchmark's script stays alive: every workload trains a few steps by the plain loop and by Equipoise."""

import importlib
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def module(name):
    return importlib.import_module(f"benchmarks.{name}")


def small(name):
    """Return a workload with eight small batches an epoch (w1: its one)."""
    workload = module("workloads").workloads()[name]
    if name == "w1":
        return replace(workload, epochs_a_turn=1)
    return replace(workload, samples=16, batch_size=2, epochs_a_turn=1, threads=1)


class Counting:
    """A clock that ends a training after some epochs."""

    def __init__(self, most):
        self.most, self.epochs, self.paused = most, 0, 0

    def epoch_ended(self, epochs=1):
        self.epochs += epochs
        return self.epochs >= self.most

    def pause(self):
        self.paused += 1

    def resume(self):
        pass


NAMES = tuple(tomllib.loads((ROOT / "benchmarks" / "bars.toml").read_text())["workloads"])


@pytest.mark.parametrize("name", NAMES)
def test_equipoise_trains_the_same_network(name):
    workloads = module("workloads")
    workload = small(name)
    plan, splits = workloads.plan_and_splits(workload, epochs=1)
    from equipoise.networks.build import build

    family = build(plan.network, splits.signature, splits.preprocessing, seed=0)
    ours = sorted(tuple(one.shape) for one in family.parameters())
    plain = sorted(tuple(one.shape) for one in workloads.network(workload).parameters())
    assert ours == plain
    inputs, _ = workloads.data(workload)
    assert torch.equal(splits.train.inputs, inputs)
    assert family.scores(inputs[:2]).shape == workloads.network(workload)(inputs[:2]).shape


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("contender", ["plain", "equipoise"])
def test_a_few_steps(contender, name):
    contenders = module("contenders")
    turns = Counting(1)
    contenders.CONTENDERS[contender][1](small(name), turns)
    assert turns.epochs >= 1
    assert contender == "equipoise" or turns.paused == 0


class Pipe:
    """Keeps what is sent, and says `go` once, then `stop`."""

    def __init__(self):
        self.sent, self.words = [], ["go", "stop"]

    def send(self, value):
        self.sent.append(value)

    def recv(self):
        return self.words.pop(0)


def test_turns_report_whole_epochs_and_what_was_left_out(monkeypatch):
    throughput = module("throughput")
    wall, cpu = [0.0], [0.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: wall[0])
    monkeypatch.setattr(throughput.time, "process_time", lambda: cpu[0])

    def passes(seconds):
        wall[0] += seconds
        cpu[0] += seconds / 2

    pipe = Pipe()
    turns = throughput.PipedTurns(2, pipe)
    passes(4)
    assert not turns.epoch_ended()
    turns.pause()
    turns.pause()
    passes(100)
    turns.resume()
    turns.resume()
    passes(6)
    assert not turns.epoch_ended(), "the word was go"
    passes(8)
    assert turns.epoch_ended(2), "the word was stop"
    assert pipe.sent == [(10.0, 5.0, 100.0), (8.0, 4.0, 0.0)]


def test_equipoise_learns_the_plain_loops_xor():
    workloads = module("workloads")
    torch.manual_seed(0)
    workload = replace(workloads.workloads()["w1"], epochs_a_turn=1)
    turns = Counting(3000)
    network = workloads.plain_loop(workload, epoch_ended=turns.epoch_ended)
    inputs, targets = workloads.data(workload)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(network(inputs), targets)
    assert loss < 0.5


def test_every_bar_names_contenders_that_exist():
    contenders = module("contenders").CONTENDERS
    for workload in module("workloads").workloads().values():
        assert set(workload.faster_than) <= set(contenders)
        assert workload.samples % workload.batch_size == 0


def test_ratios_and_verdicts():
    throughput = module("throughput")
    workload = replace(small("w2"), rounds=6)
    turns = {
        "plain": [(2.0, 2.0, 0.0)] * 6,
        "equipoise": [(1.0, 1.0, 0.5)] * 6,
        "lightning": [(0.5, 0.5, 0.0)] * 6,
        "keras-torch": [(4.0, 4.0, 0.0)] * 6,
    }
    row = throughput.summary(workload, {"turns": turns, "failed": {"skorch": "Error: absent"}, "cores": [0]})
    assert row["contenders"]["keras-torch"]["cpu_ratio"]["value"] == 2.0
    assert row["contenders"]["equipoise"]["left_out_s"] == 0.5
    assert row["contenders"]["equipoise"]["cpu_us_a_step"] == pytest.approx(1e6 / workload.steps_a_turn)
    verdicts = {one["against"]: one["verdict"] for one in throughput.judged(workload, row, "cpu", 1.0)}
    assert verdicts == {"plain": "holds", "keras-torch": "holds", "lightning": "broken", "skorch": "not measured"}
    record = {"workloads": {"w2": row}}
    assert "0.50 [0.50, 0.50]" in throughput.table(record, "cpu")


def test_an_interval_that_straddles_the_bar_is_unsure():
    throughput = module("throughput")
    workload = replace(small("w4"), rounds=8)
    ours = np.array([0.9, 1.1, 0.95, 1.05, 0.98, 1.02, 0.97, 1.03])
    turns = {"plain": [(1.0, 1.0, 0.0)] * 8, "equipoise": [(one, one, 0.0) for one in ours]}
    row = throughput.summary(workload, {"turns": turns, "failed": {}, "cores": [0]})
    (verdict,) = throughput.judged(workload, row, "cpu", 1.0)
    assert verdict["verdict"] == "unsure"
    assert verdict["ratio"]["low"] < 1 < verdict["ratio"]["high"]
