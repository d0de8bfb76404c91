"""What each rank does that a test starts."""

import dataclasses
import os
import signal
from pathlib import Path

import torch
from fit_subjects import blobs, pictures, plan, regression
from killed_fit import write_often
from safetensors.torch import save_file

from equipoise.core.plan import Plan
from equipoise.core.progress import Progress
from equipoise.data.samples import Splits
from equipoise.fit.fit import fit
from equipoise.fit.fitted import Fit
from equipoise.fit.ranks.ranks import Ranks, joined
from equipoise.fit.ranks.spread import ByRanks

NORMALISED = {"family": "dense", "hidden": [8, 8], "normalisation": "batch"}
CONVOLUTIONAL = {"family": "convolutional", "channels": [4, 4], "normalisation": "batch", "hidden": [8]}
COMMON = {"epochs": 3, "batch_size": 31, "max_grad_norm": 0.5, "l2": 0.01, "keep": "last"}


def cases() -> dict[str, tuple[Plan, Splits]]:
    """Return trainings whose batches do not divide evenly; 144 samples in batches of 31 leave 20, of 71 leave 2."""
    return {
        "weighted": (plan(NORMALISED, **COMMON, class_weights="balanced", accumulate=2), blobs(n=240)),
        "averaged": (plan(NORMALISED, **COMMON, weight_averaging="tail", label_smoothing=0.1), blobs(n=240)),
        "augmented": (plan(CONVOLUTIONAL, **COMMON, augmentation=("noise", "mixup")), pictures(n=60)),
        "recomputed": (plan(CONVOLUTIONAL, **COMMON, checkpoint_activations=True), pictures(n=60)),
        "few": (plan(NORMALISED, **{**COMMON, "batch_size": 71}), blobs(n=240)),
        "whole": (plan({"family": "dense"}, epochs=20, optimizer="gradient-descent"), regression(n=100)),
        "stopped": (plan({"family": "dense"}, epochs=40, patience=2, learning_rate=0.05), blobs(n=100)),
        "governed": (plan({"family": "dense"}, epochs=12, optimizer="sgd", learning_rate=500.0), regression(n=300)),
    }


def dropped() -> tuple[Plan, Splits]:
    """Return a training in which every rank draws, long enough to be cut off."""
    network = {"family": "dense", "hidden": [8], "dropout": 0.3, "normalisation": "batch"}
    return plan(network, epochs=10, batch_size=24, weight_averaging="exponential"), blobs(n=200)


def undisturbed(sharded: bool) -> tuple[Plan, Splits]:
    """Return the training that is interrupted and gone on with by other numbers of ranks."""
    optimizer = "adamw" if sharded else "muon"
    network = {"family": "dense", "hidden": [8, 8], "normalisation": "batch"}
    return plan(network, epochs=9, batch_size=32, optimizer=optimizer, weight_averaging="exponential"), blobs(n=240)


def interrupted_at(epoch: int, ranks: Ranks | None):
    """Return a listener that interrupts the last rank's process once."""
    done: list[int] = []

    def listen(progress: Progress) -> None:
        last = ranks is None or ranks.number == ranks.count - 1
        if last and progress.phase == "fit" and progress.done >= epoch and not done:
            done.append(epoch)
            os.kill(os.getpid(), signal.SIGINT)

    return listen


def said(one: Fit) -> dict:
    return {
        "stopped": one.stopped.value,
        "epochs": one.epochs,
        "best_epoch": one.best_epoch,
        "steps": one.steps,
        "acts": [act.what for act in one.acts],
        "losses": [float(value) for vital in one.vitals if vital.name == "loss" for value in vital.values],
        "ranks": one.execution.ranks,
        "sharded": one.execution.sharded,
    }


def keep(one: Fit, path: Path) -> None:
    import json

    tensors = {name: value.contiguous() for name, value in one.network.state_dict().items()}
    save_file(tensors, path, {"said": json.dumps(said(one))})


def train_cases(ranks: Ranks, folder: Path, names: list[str]) -> None:
    """Train each case with whole and with divided weights."""
    for name, (what, data) in cases().items():
        for sharded in (False, True):
            if name in names:
                done = fit(what, 0, splits=data, on=ByRanks(dataclasses.replace(ranks, sharded=sharded)))
                keep(done, folder / f"{name}-{sharded}-{ranks.number}.safetensors")


def go_on(ranks: Ranks, folder: Path, epoch: int) -> None:
    """Begin or go on with the trainings that change hands, and be interrupted at an epoch (0: finish)."""
    write_often(within=False)
    for sharded in (False, True):
        what, data = undisturbed(sharded)
        by = ByRanks(dataclasses.replace(ranks, sharded=sharded))
        listen = interrupted_at(epoch, ranks) if epoch else (lambda progress: None)
        done = fit(what, 0, splits=data, folder=folder / str(sharded), resume=True, on=by, on_progress=listen)
        keep(done, folder / f"{sharded}-{ranks.number}.safetensors")


def cut_off(ranks: Ranks, folder: Path) -> None:
    """Train with random draws, undisturbed, and interrupted in between."""
    write_often()
    what, data = dropped()
    by = ByRanks(ranks)
    keep(fit(what, 0, splits=data, on=by), folder / f"undisturbed-{ranks.number}.safetensors")
    path = folder / "cut"
    first = fit(what, 0, splits=data, folder=path, resume=True, on=by, on_progress=interrupted_at(5, ranks))
    assert first.stopped.value == "interrupted", first.stopped
    done = fit(what, 0, splits=data, folder=path, resume=True, on=by)
    keep(done, folder / f"resumed-{ranks.number}.safetensors")


def die(ranks: Ranks, folder: Path) -> None:
    """Let the second rank be killed in the middle."""
    write_often()
    what, data = dropped()

    def listen(progress: Progress) -> None:
        if ranks.number == 1 and progress.phase == "fit" and progress.done >= 5:
            os.kill(os.getpid(), signal.SIGKILL)

    fit(what, 0, splits=data, folder=folder / "died", resume=True, on=ByRanks(ranks), on_progress=listen)


STAGES = {"cases": train_cases, "go-on": go_on, "cut-off": cut_off, "die": die}


def work(number: int, count: int, port: int, folder: Path, stages: list[tuple]) -> None:
    """Be one rank, as torchrun would have it."""
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
    }
    with joined() as ranks:
        for name, *arguments in stages:
            STAGES[name](ranks, folder, *arguments)
