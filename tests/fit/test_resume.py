import json
import multiprocessing
import os
import random
import signal
import time

import killed_fit
import pandas as pd
import pytest
import torch
from fit_subjects import DENSE, blobs, pictures, plan
from killed_fit import run, train_until_killed, train_with_small_files, write_often

from equipoise.core.stop import StopReason
from equipoise.fit import checkpoint as checkpoints
from equipoise.fit.fit import fit


def state(fitted):
    weights = {name: value.clone() for name, value in fitted.network.state_dict().items()}
    return weights, (fitted.vitals, fitted.stopped, fitted.epochs, fitted.steps, fitted.best_epoch, fitted.execution)


def assert_same(one, other):
    (weights, said), (other_weights, other_said) = state(one), state(other)
    assert said == other_said
    for name, value in weights.items():
        assert torch.equal(value, other_weights[name]), name


@pytest.fixture(scope="module")
def undisturbed():
    return run(None, resume=False)


@pytest.fixture
def often(monkeypatch):
    """Checkpoints at every chance, within this process."""
    for module, names in (
        (killed_fit.loop, ("EVERY_S",)),
        (killed_fit.keeper, ("SHORTEST_S", "WITHIN_S", "COST_SHARE")),
        (os, ("fsync",)),
    ):
        for name in names:  # noted here, so that they are put back
            monkeypatch.setattr(module, name, getattr(module, name))
    write_often()


@pytest.fixture(scope="module")
def server():
    """Processes forked from one that has imported already what a first optimiser step imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["equipoise.fit.fit", "pyarrow.parquet", "torch._dynamo"])
    return context


def newest(folder):
    pointer = folder / "checkpoint" / "latest.json"
    return json.loads(pointer.read_text())["newest"] if pointer.exists() else 0


@pytest.mark.parametrize("chain", range(4))
def test_killed_at_random_moments_it_ends_with_the_same_bits(server, tmp_path, undisturbed, chain):
    moments = random.Random(chain)
    kills, folder = 0, tmp_path / "0"
    while kills < 5:
        before = newest(folder)
        process = server.Process(target=train_until_killed, args=(folder,))
        process.start()
        while process.is_alive() and newest(folder) == before:  # until the training itself has begun
            time.sleep(0.001)
        process.join(moments.uniform(0.0, 0.15))
        process.kill()
        process.join()
        if process.exitcode == 0:  # it was through before the kill
            assert_same(run(folder), undisturbed)
            folder = tmp_path / str(kills + 1)
        else:
            assert process.exitcode == -signal.SIGKILL
            kills += 1
    assert_same(run(folder), undisturbed)
    assert len(list((folder / "checkpoint").iterdir())) == 5  # two checkpoints and the pointer


class Stopped(Exception):
    """Ends a training as abruptly as an exception can."""


def stopped_after(messages):
    def listener(progress):
        nonlocal messages
        messages -= progress.phase == "fit"
        if messages < 0:
            raise Stopped

    return listener


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    "recipe",
    [
        {"optimizer": "muon"},
        {"optimizer": "schedule-free", "schedule": "constant", "weight_averaging": "none"},
        {"optimizer": "rmsprop", "weight_decay": 0.1},
        {"optimizer": "lion", "weight_averaging": "tail"},
        {"optimizer": "nesterov", "schedule": "one-cycle", "keep": "last"},
        {"optimizer": "gradient-descent", "accumulate": 1, "epochs": 80, "learning_rate": 0.3, "patience": None},
        {"precision": "bfloat16"},
        {"checkpoint_activations": True},
    ],
    ids=lambda recipe: " ".join(map(str, recipe.values())),
)
def test_every_kind_of_training_goes_on_with_the_same_bits(tmp_path, recipe):
    undisturbed = run(None, resume=False, **recipe)
    stops = 0
    for messages in (0, 2):
        try:
            fit(
                killed_fit.hard_plan(**recipe),
                0,
                splits=killed_fit.data(),
                folder=tmp_path,
                resume=True,
                on_progress=stopped_after(messages),
            )
        except Stopped:
            stops += 1
    assert stops > 0
    assert_same(run(tmp_path, **recipe), undisturbed)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_convolutions_laid_out_channels_last_go_on_with_the_same_bits(tmp_path, optimizer):
    network = {"family": "convolutional", "channels": [4, 4], "hidden": [8], "normalisation": "batch"}
    chosen = plan(network, optimizer=optimizer, epochs=4, batch_size=8, weight_averaging="tail")
    data = pictures(channels=3)
    undisturbed = fit(chosen, 0, splits=data)
    with pytest.raises(Stopped):
        fit(chosen, 0, splits=data, folder=tmp_path, on_progress=stopped_after(2))
    assert newest(tmp_path) > 1
    assert_same(fit(chosen, 0, splits=data, folder=tmp_path, resume=True), undisturbed)


@pytest.mark.usefixtures("often")
def test_an_interrupted_training_goes_on(tmp_path, undisturbed):
    def interrupt(progress):
        if progress.phase == "fit" and progress.done == 2 and not progress.finished:
            raise KeyboardInterrupt

    options = {"splits": killed_fit.data(), "folder": tmp_path}
    first = fit(killed_fit.hard_plan(), 0, **options, on_progress=interrupt)
    assert first.stopped is StopReason.INTERRUPTED
    assert first.best_epoch > 0
    assert_same(run(tmp_path), undisturbed)


def test_a_training_that_is_over_is_returned_again(tmp_path, undisturbed):
    run(tmp_path, resume=False)
    assert_same(run(tmp_path), undisturbed)


def test_a_training_out_of_time_gets_a_new_budget(tmp_path):
    recipe = {"epochs": 3000, "patience": None, "max_seconds": 0.2}
    first = run(tmp_path, resume=False, **recipe)
    second = run(tmp_path, **recipe)
    assert first.stopped is second.stopped is StopReason.TIME_BUDGET
    assert second.steps > first.steps
    assert second.seconds >= first.seconds + 0.2


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("damage", ["deleted", "truncated", "changed", "description", "pointer"])
def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, undisturbed, damage):
    said = []
    with pytest.raises(Stopped):
        fit(
            killed_fit.hard_plan(),
            0,
            splits=killed_fit.data(),
            folder=tmp_path,
            on_progress=stopped_after(10),
        )
    folder = tmp_path / "checkpoint"
    tensors = folder / f"{newest(tmp_path):08d}.safetensors"
    if damage == "deleted":
        tensors.unlink()
    elif damage == "truncated":
        tensors.write_bytes(tensors.read_bytes()[:-100])
    elif damage == "changed":
        tensors.write_bytes(tensors.read_bytes()[:-1] + b"\x55")
    elif damage == "description":
        tensors.with_suffix(".json").write_text("{")
    else:
        (folder / "latest.json").write_text("")
    resumed = fit(
        killed_fit.hard_plan(),
        0,
        splits=killed_fit.data(),
        folder=tmp_path,
        resume=True,
        on_progress=said.append,
    )
    assert_same(resumed, undisturbed)
    assert damage == "pointer" or any("the one before it is used" in progress.note for progress in said)


def test_without_any_whole_checkpoint_it_begins_anew(tmp_path, undisturbed):
    run(tmp_path, resume=False)
    for path in (tmp_path / "checkpoint").glob("*.safetensors"):
        path.unlink()
    assert_same(run(tmp_path), undisturbed)


@pytest.mark.usefixtures("often")
def test_a_full_disk_does_not_end_the_training_and_nothing_written_is_lost(tmp_path, undisturbed, monkeypatch):
    written = []
    save = checkpoints.save_tensors

    def full(tensors, path):
        if len(written) >= 3:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(tensors, path)
        written.append(path)

    said = []
    monkeypatch.setattr(checkpoints, "save_tensors", full)
    options = {"splits": killed_fit.data(), "folder": tmp_path}
    fitted = fit(killed_fit.hard_plan(), 0, **options, on_progress=said.append)
    assert_same(fitted, undisturbed)
    complaints = [progress.note for progress in said if "No space left" in progress.note]
    assert len(complaints) == 1
    assert "training goes on" in complaints[0]
    assert newest(tmp_path) == 3
    assert not [path for path in (tmp_path / "checkpoint").iterdir() if path.stem.startswith("00000004")]
    monkeypatch.setattr(checkpoints, "save_tensors", save)
    assert_same(run(tmp_path), undisturbed)  # from the third checkpoint


@pytest.mark.parametrize("limit", [100, 12_000])
def test_files_that_cannot_grow_do_not_end_the_training(server, tmp_path, limit):
    process = server.Process(target=train_with_small_files, args=(tmp_path, limit))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match="which cannot be written.*Choose another folder"):
        fit(plan(DENSE), 0, folder=file)


def test_the_history_can_be_read_while_training(tmp_path):
    seen = []

    def look(progress):
        path = tmp_path / "history.parquet"
        if progress.phase == "fit" and path.exists():
            seen.append(len(pd.read_parquet(path)))

    fitted = fit(killed_fit.hard_plan(), 0, splits=killed_fit.data(), folder=tmp_path, on_progress=look)
    assert seen
    table = pd.read_parquet(tmp_path / "history.parquet")
    assert len(table) == sum(len(vital.steps) for vital in fitted.vitals)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.5}, "recipe.learning_rate"),
        ({"epochs": 7}, "recipe.epochs"),
        ({"network": {"family": "dense", "hidden": [9], "dropout": 0.2, "normalisation": "batch"}}, "network.hidden"),
        ({"seed": 1}, "seed"),
        ({"data": 241}, "data digest"),
    ],
)
def test_another_training_is_not_gone_on_with(tmp_path, change, message):
    run(tmp_path, resume=False, epochs=1)
    changed = killed_fit.hard_plan(
        **{"epochs": 1, **{k: v for k, v in change.items() if k in ("learning_rate", "epochs")}}
    )
    if "network" in change:
        changed = changed.replace(network=change["network"])
    with pytest.raises(ValueError, match=f"got {message}.*begin anew in another folder"):
        fit(
            changed,
            change.get("seed", 0),
            splits=blobs(n=change.get("data", 240), spread=2.0),
            folder=tmp_path,
            resume=True,
        )


def test_an_earlier_training_is_not_overwritten(tmp_path):
    run(tmp_path, resume=False, epochs=1)
    with pytest.raises(ValueError, match="holds the checkpoint of a training.*resume=True"):
        run(tmp_path, resume=False)
    with pytest.raises(ValueError, match="Pass it as `folder`"):
        fit(plan(DENSE), 0, resume=True)


def test_a_recorded_execution_is_used_again(tmp_path):
    first = run(tmp_path, resume=False, epochs=1, threads=2)
    assert first.execution.threads == 2
    path = next(iter(sorted((tmp_path / "checkpoint").glob("0*.json"), reverse=True)))
    described = json.loads(path.read_text())
    described["values"]["execution"]["torch"] = "1.0"
    path.write_text(json.dumps(described))
    resumed = run(tmp_path, epochs=1, threads=2)
    assert resumed.execution.threads == 2
    assert "resumed with torch" in resumed.execution.reason


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("tuned", [True, False], ids=["plan", "eager"])
def test_no_vital_signs_are_lost_to_a_stop(tmp_path, tuned):
    chosen, data = plan(DENSE, epochs=4, vitals_every=1, tuned=tuned), blobs()
    steps = [vital.steps for vital in fit(chosen, 0, splits=data).vitals]
    with pytest.raises(Stopped):
        fit(chosen, 0, splits=data, folder=tmp_path, on_progress=stopped_after(2))
    assert newest(tmp_path) > 1
    resumed = fit(chosen, 0, splits=data, folder=tmp_path, resume=True)
    assert [vital.steps for vital in resumed.vitals] == steps
    assert len(pd.read_parquet(tmp_path / "history.parquet")) == sum(map(len, steps))
    again = fit(chosen, 0, splits=data, folder=tmp_path, resume=True)
    assert repr(again.vitals) == repr(resumed.vitals)
