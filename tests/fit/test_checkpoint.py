import json

import pytest
import torch

from equipoise.fit.checkpoint import Checkpoint, Checkpoints


def one(number):
    return Checkpoint({"a": torch.full((3, 2), float(number)), "flags": torch.tensor([True])}, {"number": number})


def test_the_newest_comes_back_and_two_are_kept(tmp_path):
    folder = Checkpoints(tmp_path / "deep" / "checkpoint")
    assert folder.read() == (None, ())
    assert not folder.exist()
    for number in range(1, 5):
        folder.write(one(number))
        found, notes = Checkpoints(folder.folder).read()
        assert found.values == {"number": number}
        assert torch.equal(found.tensors["a"], one(number).tensors["a"])
        assert notes == ()
    assert len(list(folder.folder.iterdir())) == 5


def test_tensors_that_share_memory_or_lie_otherwise_come_back(tmp_path):
    base = torch.arange(24.0).reshape(1, 2, 3, 4)
    tensors = {
        "base": base,
        "same": base,
        "turned": base.permute(0, 2, 3, 1),
        "part": base[:, :1],
        "one": base[0, 0, 0, 0],
    }
    folder = Checkpoints(tmp_path)
    folder.write(Checkpoint(tensors, {}))
    found, _ = folder.read()
    for name, tensor in tensors.items():
        assert torch.equal(found.tensors[name], tensor)


def test_numbers_come_back_exactly(tmp_path):
    values = {"x": [0.1, 1 / 3, 1e-320, float("inf")], "n": 2**60, "none": None}
    folder = Checkpoints(tmp_path)
    folder.write(Checkpoint({}, values))
    assert folder.read()[0].values == values


def test_what_was_not_switched_to_is_not_read(tmp_path):
    folder = Checkpoints(tmp_path)
    folder.write(one(1))
    folder.write(one(2))
    (tmp_path / "latest.json").write_text(json.dumps({"newest": 1}))
    assert folder.read()[0].values == {"number": 1}


@pytest.mark.parametrize("stage", ["tensors", "description", "pointer"])
def test_a_write_that_fails_at_any_stage_leaves_what_was_there(tmp_path, monkeypatch, stage):
    folder = Checkpoints(tmp_path)
    folder.write(one(1))
    folder.write(one(2))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real = {
        name: getattr(__import__("equipoise.fit.checkpoint", fromlist=[name]), name)
        for name in ("save_tensors", "write_text")
    }
    calls = []

    def save(tensors, path):
        if stage == "tensors":
            raise OSError(28, "No space left on device")
        real["save_tensors"](tensors, path)

    def write(path, text):
        calls.append(path)
        if len(calls) == {"description": 1, "pointer": 2}.get(stage, 0):
            raise OSError(28, "No space left on device")
        real["write_text"](path, text)

    monkeypatch.setattr("equipoise.fit.checkpoint.save_tensors", save)
    monkeypatch.setattr("equipoise.fit.checkpoint.write_text", write)
    with pytest.raises(OSError, match="No space"):
        folder.write(one(3))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert folder.read()[0].values == {"number": 2}


def test_files_of_a_killed_writer_are_cleared_away(tmp_path):
    folder = Checkpoints(tmp_path)
    folder.write(one(1))
    (tmp_path / ".00000002.safetensors.abc.safetensors").write_bytes(b"half")
    (tmp_path / "00000002.safetensors").write_bytes(b"whole, but never described")
    again = Checkpoints(tmp_path)
    assert again.read()[0].values == {"number": 1}
    again.write(one(2))
    assert again.read()[0].values == {"number": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00000001.json",
        "00000001.safetensors",
        "00000002.json",
        "00000002.safetensors",
        "latest.json",
    ]
    (tmp_path / "00000000.json").write_text("{}")  # it was killed between the last checkpoint and the removal of others
    Checkpoints(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_another_format_is_said(tmp_path):
    folder = Checkpoints(tmp_path)
    folder.write(one(1))
    path = tmp_path / "00000001.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 9'))
    found, notes = folder.read()
    assert found is None
    assert "got format 9; expected 1" in notes[0]
