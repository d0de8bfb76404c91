"""Where a fault is: rules on prose, against places written by hand."""

import importlib
import tomllib
from pathlib import Path

import pytest
import torch
from small_programs import written
from torch import nn

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def places():
    return importlib.import_module("benchmarks.diagnosis_places")


class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, inputs):
        return self.inner(inputs)[0][:, -1]


class Own(nn.Module):
    """Its layers run in another order than they are named, and two of them are in a plain list."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.encoder = nn.Linear(4, 3)
        self.spare = nn.Linear(1, 1)
        self.blocks = [nn.Linear(3, 3), nn.Linear(3, 3)]

    def forward(self, inputs):
        return self.head(torch.relu(self.encoder(inputs)))


STACK = nn.Sequential(
    nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Tanh(),
    nn.Linear(8, 2), nn.Softmax(1),
)  # fmt: skip
RECURRENT = nn.Sequential(Wrapped(nn.LSTM(4, 3, batch_first=True)), nn.Linear(3, 2))


def read(places, prose, network=STACK, inputs=None):
    found = places.layers(network, torch.randn(3, 4) if inputs is None else inputs)
    return sorted(one.removeprefix("layer:") for one in places.derived(prose, found))


@pytest.mark.parametrize(("prose", "expected"), [
    ("inputs", ["inputs"]),
    ("targets (order)", ["targets"]),
    ("learning rate (negative)", ["optimizer.lr"]),
    ("inputs; learning rate", ["inputs", "optimizer.lr"]),
    ("batch size", ["loop.batch_size"]),
    ("epochs", ["loop.epochs"]),
    ("optimizer (weight_decay)", ["optimizer.weight_decay"]),
    ("optimizer (eps)", ["optimizer.eps"]),
    ("optimizer (another copy of the parameters)", ["loop.step", "optimizer.params"]),
    ("optimizer (SGD)", ["optimizer.*"]),
    ("loss (sign)", ["loss"]),
    ("validation (overlaps the training data)", ["validation"]),
    ("loop (zero_grad)", ["loop.zero_grad"]),
    ("loop (zero_grad after backward)", ["loop.backward", "loop.zero_grad"]),
    ("loop (clip_grad_norm_ 1e-4)", ["loop.clip"]),
    ("loop (order of the rows)", ["loop.order"]),
    ("loop (network.eval() before training)", ["loop.mode"]),
    ("dropout (training mode at evaluation)", ["2", "loop.evaluate", "loop.mode"]),
    ("dropout layers (p = .95)", ["2"]),
    ("last layer (softmax)", ["6", "7"]),
    ("first layer", ["0", "1"]),
    ("hidden layers (no activation)", ["0", "1", "3", "5"]),
    ("layers 0-1 (sigmoid)", ["0", "1", "3", "5"]),
    ("layers 0 and 2", ["0", "1", "6", "7"]),
    ("layer 1 (1 unit)", ["3", "5"]),
    ("block 1 (activation)", ["3", "5"]),
    ("batch normalisation", ["4"]),
    ("network (capacity)", ["0", "1", "2", "3", "4", "5", "6", "7"]),
    ("somewhere else", []),
])  # fmt: skip
def test_rules_read_the_prose(places, prose, expected):
    assert read(places, prose) == expected


def test_layers_are_ordered_as_they_run(places):
    assert read(places, "last layer", Own()) == ["head"]
    assert read(places, "layer 0", Own()) == ["encoder"]
    assert read(places, "encoder (detach)", Own()) == ["encoder"]


def test_layers_in_a_plain_list_are_placed_where_a_tool_can_see_them(places):
    expected = ["blocks", "blocks.0", "blocks.1", "loop.step", "optimizer.params"]
    assert read(places, "hidden layers (Python list)", Own()) == expected


def test_a_wrapper_around_the_one_layer_is_fair(places):
    inputs = torch.randn(2, 5, 4)
    assert read(places, "recurrent layer (weight_hh)", RECURRENT, inputs) == ["0", "0.inner"]


def test_a_network_that_cannot_run_is_read_as_it_is_written(places):
    assert read(places, "last layer", STACK, torch.randn(3, 99)) == ["6", "7"]


def test_looking_changes_nothing(places):
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    places.layers(network, torch.randn(3, 4))
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("where", "fair"), [
    ("optimizer.lr", True), ("optimizer", False), ("layer:1", True), ("layer:10", False), ("", False),
])  # fmt: skip
def test_a_star_allows_every_field(places, where, fair):
    assert places.allowed(where, ("optimizer.*", "layer:1")) is fair


def test_the_table_speaks_the_grammar(places):
    table = tomllib.loads(places.TABLE.read_text())["programs"]
    stages = {"zero_grad", "forward", "backward", "step", "clip", "evaluate", "mode", "order", "batch_size", "epochs"}
    for name, words in table.items():
        assert words, name
        for word in words:
            kind, _, rest = word.partition(":") if word.startswith("layer") else word.partition(".")
            assert kind in ("inputs", "targets", "validation", "loss", "optimizer", "loop", "layer"), word
            assert kind != "loop" or rest in stages, word


def test_programs_that_are_not_in_the_table_are_read_by_rule(places, tmp_path):
    package = importlib.import_module("benchmarks.diagnosis_programs").load(written(tmp_path))
    assert places.places(package, "plain") == {"optimizer.lr"}
    assert places.places(package, "modes") == {"layer:2", "loop.evaluate", "loop.mode"}
    assert places.disagreements(package) == {}
