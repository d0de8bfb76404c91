"""Saved networks come back bit for bit, and damaged or foreign files are refused with a cure."""

import json

import pytest
import torch
from network_cases import DOES, PLANS, TAKES, case, raw
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from equipoise.core.network_plan import ForeignNetwork
from equipoise.networks.adopt import adopt
from equipoise.networks.archive import foreign_plan_of, load_network, read_header, save_network
from equipoise.networks.build import build


class Tied(nn.Module):
    """A network that uses one matrix twice."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.second = nn.Linear(5, 5)
        self.second.weight = self.first.weight
        self.last = nn.Linear(5, 3)

    def forward(self, inputs):
        return self.last(self.second(self.first(inputs).relu()).relu())


@pytest.mark.parametrize("family", [*PLANS])
@pytest.mark.parametrize("position", [0, -1])
def test_a_network_comes_back_bit_for_bit(family, position, tmp_path):
    kind, task = TAKES[family][position], DOES[family][position]
    signature, preprocessing = case(kind, task)
    plan = PLANS[family].replace(normalisation="batch")
    network = build(plan, signature, preprocessing, 5)
    network.train()
    network.scores(raw(kind))
    if hasattr(network.head, "temperature"):
        network.head.temperature.fill_(1.7)
    if task == "clustering":
        network.head.place(torch.randn(3, 3))
    save_network(network.eval(), plan, preprocessing, tmp_path / "n.safetensors", extra={"run": "monday"})
    before = torch.random.get_rng_state()
    again = load_network(tmp_path / "n.safetensors")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not again.training
    assert torch.equal(again.answer(raw(kind)), network.answer(raw(kind)))
    state = again.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    header = read_header(tmp_path / "n.safetensors")
    assert header.extra == {"run": "monday"}
    assert header.plan == plan
    assert header.signature == signature
    assert header.preprocessing == preprocessing


def test_tied_tensors_are_stored_once_and_stay_tied(tmp_path):
    signature, preprocessing = case("vector", "multiclass")
    network = adopt(Tied(), signature, preprocessing=preprocessing).eval()
    path = tmp_path / "n.safetensors"
    save_network(network, foreign_plan_of(network), preprocessing, path)
    with safe_open(path, framework="pt") as file:
        assert len([name for name in file.keys() if "weight" in name]) == 2  # noqa: SIM118
    again = load_network(path, module=Tied())
    inner = again.body.module
    assert inner.first.weight is inner.second.weight
    assert torch.equal(again(raw("vector")), network(raw("vector")))


def test_a_module_handed_over_in_python_must_be_handed_over_again(tmp_path):
    signature, preprocessing = case("vector", "multiclass")
    network = adopt(Tied(), signature)
    save_network(network, ForeignNetwork(), preprocessing, tmp_path / "n.safetensors")
    with pytest.raises(ValueError, match="module=\\.\\.\\."):
        load_network(tmp_path / "n.safetensors")


def test_a_factory_named_by_a_file_is_called_only_with_trust(tmp_path, monkeypatch):
    (tmp_path / "tied_factory.py").write_text("from test_archive import Tied\n\ndef build():\n    return Tied()\n")
    monkeypatch.syspath_prepend(tmp_path)
    signature, preprocessing = case("vector", "multiclass")
    plan = ForeignNetwork(factory="tied_factory:build")
    network = build(plan, signature, preprocessing, 0).eval()
    save_network(network, plan, preprocessing, tmp_path / "n.safetensors")
    with pytest.raises(ValueError, match="--trust"):
        load_network(tmp_path / "n.safetensors")
    again = load_network(tmp_path / "n.safetensors", trust=True)
    assert torch.equal(again(raw("vector")), network(raw("vector")))


def saved(tmp_path):
    signature, preprocessing = case("vector", "multiclass")
    network = build(PLANS["dense"], signature, preprocessing, 0)
    path = tmp_path / "n.safetensors"
    save_network(network, PLANS["dense"], preprocessing, path)
    return path


def test_the_same_network_is_the_same_bytes(tmp_path):
    signature, preprocessing = case("vector", "multiclass")
    network = build(PLANS["dense"], signature, preprocessing, 0)
    for k in range(5):
        save_network(network, PLANS["dense"], preprocessing, tmp_path / f"{k}.safetensors", extra={"a": "1", "b": "2"})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize("length", [0, 4, 100, -10])
def test_a_truncated_file_is_refused(tmp_path, length):
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="got a damaged or wrong file .* expected a network"):
        load_network(path)


def rewritten(path, tensors=None, **changes):
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["equipoise"])
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors or kept, path, metadata={"equipoise": json.dumps({**header, **changes})})
    return kept


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "99"}, "Update Equipoise"),
        ({"plan": "{"}, "got a header that cannot be read"),
        ({"plan": json.dumps({"family": "dense", "depth": 3})}, "got a header that cannot be read"),
        ({"signature": "{}"}, "got a header that cannot be read"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(tmp_path, changes, words):
    path = saved(tmp_path)
    rewritten(path, **changes)
    with pytest.raises(ValueError, match=words):
        load_network(path)


def test_tensors_of_another_network_are_refused_by_name_and_shape(tmp_path):
    path = saved(tmp_path)
    tensors = rewritten(path)
    del tensors["body.0.bias"]
    tensors["body.9.bias"] = torch.zeros(3)
    tensors["body.2.bias"] = torch.zeros(7)
    rewritten(path, tensors)
    with pytest.raises(ValueError, match="got tensors that do not fit") as caught:
        load_network(path)
    for words in ("1 missing: body.0.bias", "1 unknown: body.9.bias", "body.2.bias (7,) instead of (3,)"):
        assert words in str(caught.value)


def test_safetensors_of_another_program_and_files_that_are_not_there_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="of another program"):
        load_network(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_network(tmp_path / "none.safetensors")


def test_a_folder_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = saved(tmp_path)
    before = path.read_bytes()
    signature, preprocessing = case("vector", "multiclass")
    network = build(PLANS["dense"], signature, preprocessing, 1)
    with pytest.raises(FileNotFoundError):
        save_network(network, PLANS["dense"], preprocessing, tmp_path / "gone" / "n.safetensors")
    assert path.read_bytes() == before
