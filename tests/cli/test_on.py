import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from equipoise.cli import on
from equipoise.cli.on import place, way_to_train, without_on
from equipoise.core.report import Report
from equipoise.run.job import Options, run


def test_places():
    assert (place(None).ray, place(None).ranks) == (None, 0)
    assert place("ray").ray == ""
    assert place("ray:10.0.0.1:6379").ray == "10.0.0.1:6379"
    assert place("torchrun:4").ranks == 4


@pytest.mark.parametrize("text", ["", "spark", "torchrun", "torchrun:0", "torchrun:two"])
def test_other_places_are_refused(text):
    with pytest.raises(ValueError, match=r"got --on .*; expected ray, ray:HOST:PORT or torchrun:N\. Use"):
        place(text)


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["run", "digits", "--on", "torchrun:2", "--shard"], ["run", "digits", "--shard"]),
        (["run", "--on=torchrun:2", "--out", "x"], ["run", "--out", "x"]),
        (["run", "digits"], ["run", "digits"]),
    ],
)
def test_ranks_get_the_same_command_line(arguments, kept):
    assert without_on(arguments) == kept


def test_weights_are_divided_among_ranks_only():
    with pytest.raises(ValueError, match=r"got --shard in a process of its own; .* Add --on torchrun:2"):
        way_to_train(sharded=True).__enter__()


def test_a_rank_that_was_killed_is_named(capsys):
    assert on.said_of({0: 1, 1: -9}, 2) == 1
    assert "rank 1 of 2 was ended by signal 9" in capsys.readouterr().err
    assert on.said_of({0: 2, 1: 2}, 2) == 2
    assert capsys.readouterr().err == ""


def test_two_ranks_make_the_run_of_one_process(tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'name = "wine"\n[data]\nsource = "bundled"\nname = "wine"\n[network]\nfamily = "dense"\nhidden = [8]\n'
        "[recipe]\nepochs = 3\nthreads = 1\n"
    )
    command = [sys.executable, "-m", "equipoise", "run", str(plan), "--select", "accuracy", "--quiet"]
    options = ["--out", str(tmp_path / "two"), "--on", "torchrun:2", "--shard"]
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run([*command, *options], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "two" / "report.html")]
    assert done.stderr == ""
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert [path for path in folder.iterdir() if "equipoise" in path.name or "elastic" in path.name] == []
    alone = run(plan, out=tmp_path / "one", options=Options(select=("accuracy",)))
    together = load_file(tmp_path / "two" / "network.safetensors")
    for name, value in load_file(tmp_path / "one" / "network.safetensors").items():
        torch.testing.assert_close(together[name], value, rtol=1e-5, atol=1e-5)
    finding = Report.load(tmp_path / "two" / "report.json").findings[0]
    assert finding.claim == alone.report.findings[0].claim
    assert sorted(path.name for path in Path(tmp_path / "two").iterdir()) == sorted(
        path.name for path in Path(tmp_path / "one").iterdir()
    )
