"""The whole job on small plans: what lies in the folder, and that it can be opened, resumed and compared."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

import equipoise
from equipoise.cli.running import carry_out
from equipoise.core.report import Report
from equipoise.core.stop import StopReason
from equipoise.networks.tensors import save_tensors
from equipoise.run.job import Options, resume, run

QUICK = Options(select=("accuracy", "class-balance"))


def quick_plan(**changes):
    return equipoise.plan("wine").replace(recipe__epochs=8, recipe__patience=None, **changes)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    return run(quick_plan(), out=tmp_path_factory.mktemp("runs") / "wine", options=QUICK)


def test_the_folder_holds_everything(outcome):
    names = {path.name for path in outcome.folder.iterdir()}
    expected = {"report.html", "report.json", "junit.xml", "plan.toml", "network.safetensors", "history.parquet"}
    assert expected <= names
    assert "checkpoint" not in names
    report = json.loads((outcome.folder / "report.json").read_text())
    assert [finding["question"] for finding in report["findings"]] == [
        finding.question for finding in outcome.report.findings
    ]
    accuracy = next(one for one in report["findings"] if one["question"] == "accuracy")
    for estimate in accuracy["estimates"].values():
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
    ET.parse(outcome.folder / "junit.xml")
    tomllib.loads((outcome.folder / "plan.toml").read_text())
    history = pd.read_parquet(outcome.folder / "history.parquet")
    assert {"loss", "score"} <= set(history["name"])


def test_a_plain_run_says_so_in_its_plan_and_trains_step_by_step(tmp_path):
    done = run(quick_plan(), out=tmp_path / "plain", plain=True, options=QUICK)
    assert tomllib.loads((done.folder / "plan.toml").read_text())["recipe"]["tuned"] is False
    assert done.fit.execution.lane == "eager"
    assert not done.fit.execution.fused
    assert "--plain" in (done.folder / "run.json").read_text()


def test_the_plan_re_runs_the_same_thing(outcome, tmp_path):
    again = run(outcome.folder / "plan.toml", out=tmp_path / "again", options=QUICK)
    assert (again.folder / "network.safetensors").read_bytes() == (outcome.folder / "network.safetensors").read_bytes()
    first = load_file(outcome.folder / "network.safetensors")
    second = load_file(again.folder / "network.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [one.claim for one in again.report.findings] == [one.claim for one in outcome.report.findings]


def test_a_loaded_run_answers_as_the_fit_did(outcome):
    loaded = equipoise.load(outcome.folder)
    assert loaded.report == outcome.report
    columns = [column.name for column in loaded.network.signature.inputs.columns]
    raw = pd.DataFrame(np.random.default_rng(0).normal(5, 3, (7, len(columns))), columns=columns)
    assert list(loaded.predict(raw)) == list(outcome.fit.predict(raw))
    np.testing.assert_array_equal(loaded.probabilities(raw), outcome.fit.probabilities(raw))
    assert set(loaded.predict(raw)) <= set(loaded.network.signature.task.classes)


def test_a_run_folder_without_a_network_is_named(outcome, tmp_path):
    for name in ("plan.toml", "run.json"):
        (tmp_path / name).write_text((outcome.folder / name).read_text())
    with pytest.raises(FileNotFoundError, match="--resume"):
        equipoise.load(tmp_path)


def test_a_name_that_fits_nothing_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="accuracy"):
        run(quick_plan(), out=tmp_path / "a", options=Options(select=("acuracy",)))
    with pytest.raises(ValueError, match="overfitting"):
        run(quick_plan(claims={"overfiting": {"gap": {"warn": 0.1, "fail": 0.2}}}), out=tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_resuming_a_finished_run_changes_nothing(outcome):
    before = {path: path.stat().st_mtime_ns for path in outcome.folder.iterdir()}
    assert resume(outcome.folder).report == outcome.report
    assert {path: path.stat().st_mtime_ns for path in outcome.folder.iterdir()} == before


def test_a_folder_without_a_run_cannot_be_resumed(outcome, tmp_path):
    (tmp_path / "plan.toml").write_text((outcome.folder / "plan.toml").read_text())
    with pytest.raises(FileNotFoundError, match="expected the folder of an earlier run"):
        resume(tmp_path)


def test_a_full_disk_at_the_end_says_so_and_loses_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("No space left on device (os error 28)")

    monkeypatch.setattr("equipoise.networks.archive.save_tensors", lambda *_: save_tensors({}, tmp_path, None))
    monkeypatch.setattr("equipoise.networks.tensors.save_file", full)
    with pytest.raises(OSError, match="--resume"):
        run(quick_plan(), out=tmp_path / "wine", options=QUICK)
    monkeypatch.undo()
    assert not (tmp_path / "wine" / "network.safetensors").exists()
    assert resume(tmp_path / "wine").report.findings


def test_ctrl_c_keeps_the_network_and_writes_the_report(tmp_path):
    seen = []

    def interrupt(progress):
        if progress.phase == "fit" and progress.done >= 2 and not seen:
            seen.append(progress)
            raise KeyboardInterrupt

    plan = quick_plan().replace(recipe__epochs=400)
    outcome = run(plan, out=tmp_path / "wine", options=QUICK, on_progress=interrupt)
    assert outcome.fit.stopped is StopReason.INTERRUPTED
    assert Report.load(tmp_path / "wine" / "report.json").findings
    assert json.loads((tmp_path / "wine" / "run.json").read_text())["status"] == "interrupted"


CHILD = """
import sys, equipoise
from equipoise.run.job import Options, run
plan = equipoise.plan("wine").replace(recipe__epochs=300, recipe__patience=None)
print("ready", flush=True)
run(plan, out=sys.argv[1], options=Options(select=("class-balance",)))
"""


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    child = [sys.executable, "-c", CHILD]
    subprocess.run([*child, str(tmp_path / "whole")], check=True, capture_output=True)
    with subprocess.Popen([*child, str(tmp_path / "cut")], stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        deadline = time.monotonic() + 60
        while not (tmp_path / "cut" / "checkpoint").is_dir() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "cut" / "report.json").exists()
    resumed = resume(tmp_path / "cut")
    first = load_file(tmp_path / "whole" / "network.safetensors")
    second = load_file(resumed.folder / "network.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)


def carried_out(what, out, gate):
    nothing = {"resume": None, "target": None, "network": None, "ignore": (), "seed": None, "plugins": ()}
    options = {"task": None, "select": ("accuracy",), "budget_s": 20.0, "train": False, "trust": False, "quiet": True}
    usual = {"plain": False, "treat": False, "on": None, "sharded": False}
    return carry_out(what, out=out, gate=gate, **nothing, **options, **usual)


def test_the_gate_shuts_on_a_bad_verdict(tmp_path, capsys):
    assert carried_out("wine", tmp_path / "open", None) == 0
    assert carried_out("wine", tmp_path / "shut", "fail") == 1  # never trained, so no better than guessing
    assert str(tmp_path / "shut" / "report.html") in capsys.readouterr().out
