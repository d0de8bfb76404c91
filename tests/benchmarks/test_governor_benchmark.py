"""The governor's benchmark on two tiny programs: one that its step kills, and a healthy one."""

import importlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGE = """
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass
class State:
    optimizer: Any
    step: int = 0


@dataclass
class Program:
    seed: int
    network: Any
    rate: float
    train: Any = None
    validation: Any = None
    test: Any = None
    batch_size: int = 16
    epochs: int = 12
    training_mode: bool = True


def data():
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(400, 4, generator=draw)
    y = (x[:, 0] * x[:, 1] > 0).long()
    return (x[:300], y[:300]), (x[300:], y[300:])


def cases():
    return ["fast"]


def controls():
    return [("fast", "fixed"), ("fine", "fixed")]


def build(case, version="faulty", seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    train, validation = data()
    return Program(seed, network, 200.0 if version == "faulty" else 0.2, train, validation)


def start(program):
    return State(torch.optim.SGD(program.network.parameters(), program.rate, momentum=0.5))


def batches(program, generator):
    order = torch.randperm(len(program.train[0]), generator=generator)
    for index in order.split(program.batch_size):
        yield program.train[0][index], program.train[1][index]


def train_step(program, batch, state):
    state.optimizer.zero_grad()
    loss = nn.functional.cross_entropy(program.network(batch[0]), batch[1])
    loss.backward()
    state.optimizer.step()
    state.step += 1
    return loss.detach()


def evaluate(program, data):
    program.network.eval()
    with torch.no_grad():
        found = program.network(data[0]).nan_to_num().argmax(1)
    program.network.train(program.training_mode)
    return float((found == data[1]).float().mean()), 0.0
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    folder = tmp_path / "governed_programs_written"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return folder


def test_it_counts_what_is_saved_and_compares_bits(programs, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    governor = importlib.import_module("benchmarks.governor")
    out = tmp_path / "record.json"
    arguments = ["--programs", str(programs), "--seeds", "2", "--parts", "rescue", "controls", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["benchmarks/governor.py", *arguments])
    governor.main()
    record = json.loads(out.read_text())
    assert record["saved"]["governed"]["n"] == 2
    assert record["saved"]["governed"]["reached"] == 2
    assert record["harmed"] == 0
    assert [row["same_bits"] for row in record["controls"]] == [True] * 4
    row = record["rescue"][0]
    assert row["ungoverned"] < 0.95 * row["fixed"] <= row["governed"]
    assert row["steps"] == row["governed_steps"] == 12 * 19
    said = capsys.readouterr().out
    assert "governed        2 of 2 failing runs reach 95 % of fixed [34, 100] %" in said
    assert "runs made worse by the governor: 0 of 2" in said
    assert "healthy controls that differ in a bit or were acted on: 0 of 4" in said
