"""Exported files answer as the network does, on inputs and batch sizes that the export never saw."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exported_cases import BY_NAME, CASES, IMAGE
from torch import nn

from equipoise.core.signature import Signature
from equipoise.networks.archive import load_network
from equipoise.networks.network import Head, Network
from equipoise.ship import pt2_file
from equipoise.ship.export import compare, export

ONNX = (
    "dense-table",
    "convolutional-sound",
    "residual-image",
    "lstm-text",
    "gru-labelling",
    "plain-sequence",
    "transformer-text",
)
PT2 = (*tuple(case.name for case in CASES if case.name not in ONNX), "lstm-text")


def fast_and_slow(fast):
    """Return every case, the ones that another test covers nearly as well marked slow."""
    slow = [case.name for case in CASES if case.name not in fast]
    return [*fast, *(pytest.param(name, marks=pytest.mark.slow) for name in slow)]


def fresh_answers(case, n):
    """Return inputs that the export did not see, and the network's own answers."""
    inputs = case.inputs(n, seed=99)
    with torch.no_grad():
        return inputs, case.network().answer(inputs)


@pytest.mark.parametrize("name", fast_and_slow(ONNX))
def test_onnx_runtime_answers_as_the_network(name, tmp_path):
    case = BY_NAME[name]
    path = tmp_path / "network.onnx"
    parity = export(case.network(), "onnx", path, case.inputs(20), run="2026-11-22-case")
    assert parity.passed
    assert parity.agreement.value == 1.0
    assert parity.n == 20
    inputs, expected = fresh_answers(case, 7)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"inputs": inputs.numpy()})
    np.testing.assert_allclose(got, expected.numpy(), rtol=1e-5, atol=parity.tolerance)
    metadata = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert metadata["equipoise.run"] == parity.run == "2026-11-22-case"
    assert Signature.model_validate_json(metadata["equipoise.signature"]) == case.signature


@pytest.mark.parametrize("name", fast_and_slow(PT2))
def test_pt2_answers_as_the_network(name, tmp_path):
    case = BY_NAME[name]
    path = tmp_path / "network.pt2"
    parity = export(case.network(), "pt2", path, case.inputs(20), run="a-run")
    assert parity.passed
    inputs, expected = fresh_answers(case, 7)
    extra = {"equipoise.json": ""}
    program = torch.export.load(path, extra_files=extra)
    torch.testing.assert_close(program.module()(inputs), expected)
    assert '"equipoise.run": "a-run"' in extra["equipoise.json"]
    assert not any(one.any() for one in program.example_inputs[0]), "somebody's data was shipped inside the file"


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_safetensors_answers_as_the_network(name, tmp_path):
    case = BY_NAME[name]
    path = tmp_path / "network.safetensors"
    network = case.network()
    parity = export(
        network, "safetensors", path, case.inputs(20), run="a-run", plan=case.plan, preprocessing=case.preprocessing
    )
    assert parity.passed
    assert parity.run == "a-run"
    assert parity.largest_difference == 0
    inputs, expected = fresh_answers(case, 7)
    with torch.no_grad():
        assert torch.equal(load_network(path).eval().answer(inputs), expected)


def test_a_wrong_or_corrupted_onnx_file_does_not_pass(tmp_path):
    case = BY_NAME["generative-image"]
    path = tmp_path / "network.onnx"
    assert export(case.network(), "onnx", path, case.inputs(20), run="r").passed
    table = BY_NAME["dense-table"]
    with pytest.raises(ValueError, match=r"opens but cannot run .*\(5, 3\)"):
        compare(table.network(), "onnx", path, table.inputs(5))
    model = onnx.load(path)
    weights = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    values = onnx.numpy_helper.to_array(weights).copy()
    values.flat[0] += 5.0
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, path)
    parity = compare(case.network(), "onnx", path, case.inputs(20))
    assert not parity.passed
    assert parity.largest_difference > parity.tolerance
    assert "does not agree" in parity.sentence()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot open"):
        compare(case.network(), "onnx", path, case.inputs(20))


def test_a_file_that_does_not_pass_is_not_kept(tmp_path, monkeypatch):
    case = BY_NAME["generative-image"]
    path = tmp_path / "network.pt2"
    path.write_bytes(b"what stood here")
    write = pt2_file.write
    other = case.network(seed=1)
    monkeypatch.setattr(pt2_file, "write", lambda _, inputs, to, metadata: write(other, inputs, to, metadata))
    parity = export(case.network(), "pt2", path, case.inputs(20), run="r")
    assert not parity.passed
    assert path.read_bytes() == b"what stood here"
    assert list(tmp_path.iterdir()) == [path]


def bare(body, *, signature=IMAGE):
    """Return a network around a body, without pre-processing."""
    return Network(nn.Identity(), body, Head(), signature)


class Singular(nn.Module):
    def forward(self, inputs):
        return torch.linalg.svdvals(inputs.flatten(1, 2))[:, :3]


class ValueDependent(nn.Module):
    def forward(self, inputs):
        flat = inputs.flatten(1)[:, :3]
        return flat * 2 if flat.sum() > 0 else flat


class FixedBatch(nn.Module):
    def forward(self, inputs):
        return inputs.reshape(2, 64)[:, :3]


def test_an_operation_without_onnx_form_is_named_and_goes_to_pt2(tmp_path):
    network, inputs = bare(Singular()), BY_NAME["vgg-image"].inputs(5)
    with pytest.raises(ValueError, match=r"aten\._?linalg_svd.*no ONNX form.*--to pt2"):
        export(network, "onnx", tmp_path / "n.onnx", inputs, run="r")
    assert list(tmp_path.iterdir()) == []
    assert export(network, "pt2", tmp_path / "n.pt2", inputs, run="r").passed


@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_a_network_that_cannot_be_traced_says_why(to, tmp_path):
    inputs = BY_NAME["vgg-image"].inputs(5)
    with pytest.raises(ValueError, match=r"depend on the values.*torch\.where"):
        export(bare(ValueDependent()), to, tmp_path / f"n.{to}", inputs, run="r")
    with pytest.raises(ValueError, match=r"one batch size only.*Take the batch size from the input"):
        export(bare(FixedBatch()), to, tmp_path / f"n.{to}", inputs[:2], run="r")


@pytest.mark.parametrize(
    ("to", "name", "n", "error", "message"),
    [
        ("tflite", "n.tflite", 3, ValueError, r"got format 'tflite'; expected one of onnx, pt2, safetensors"),
        ("onnx", "n.pt2", 3, ValueError, r"ending in \.onnx\. Rename it to n\.onnx"),
        ("onnx", "absent/n.onnx", 3, FileNotFoundError, r"folder does not exist.*mkdir -p"),
        ("pt2", "n.pt2", 0, ValueError, r"got no inputs; expected at least one"),
        ("safetensors", "n.safetensors", 3, ValueError, r"got no plan and fitted numbers.*Pass plan="),
    ],
)
def test_bad_requests(to, name, n, error, message, tmp_path):
    case = BY_NAME["vgg-image"]
    with pytest.raises(error, match=message):
        export(case.network(), to, tmp_path / name, case.inputs(n), run="r")


def test_without_the_extra_the_cure_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    case = BY_NAME["vgg-image"]
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'equipoise\[onnx\]'"):
        export(case.network(), "onnx", tmp_path / "n.onnx", case.inputs(3), run="r")


def test_the_network_is_left_as_it_was(tmp_path):
    case = BY_NAME["residual-image"]
    network = case.network()
    network.train()
    frozen = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random_state = torch.random.get_rng_state()
    assert export(network, "pt2", tmp_path / "n.pt2", case.inputs(5), run="r").passed
    assert network.training
    assert network.body.training
    assert not frozen.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), random_state)


def test_a_hand_made_network_and_a_single_sample(tmp_path):
    network = bare(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    assert export(network, "pt2", tmp_path / "n.pt2", BY_NAME["vgg-image"].inputs(1), run="r").n == 1
