"""What the processes do that a test kills or starves of disk."""

import os
import resource
from pathlib import Path

from fit_subjects import blobs, plan

import equipoise.fit.keeper as keeper
import equipoise.fit.loop as loop
from equipoise.core.plan import Plan
from equipoise.data.samples import Splits
from equipoise.fit.fit import fit
from equipoise.fit.fitted import Fit


def hard_plan(**recipe) -> Plan:
    """A training in which everything moves that a checkpoint must hold."""
    network = {"family": "dense", "hidden": [8], "dropout": 0.2, "normalisation": "batch"}
    settings = {
        "epochs": 6,
        "batch_size": 8,
        "accumulate": 2,
        "augmentation": ("noise", "mixup"),
        "weight_averaging": "exponential",
        "schedule": "plateau",
        "plateau_patience": 1,
        "patience": 5,
        "warmup_steps": 5,
        "max_grad_norm": 1.0,
        "l2": 0.001,
    }
    return plan(network, **{**settings, **recipe})


def data() -> Splits:
    return blobs(n=240, spread=2.0)


def run(folder: Path | None, *, resume: bool = True, **recipe) -> Fit:
    """Train by the hard plan."""
    return fit(hard_plan(**recipe), 0, splits=data(), folder=folder, resume=resume)


def write_often(*, within: bool = True) -> None:
    """Write a checkpoint at every chance, in the middle of epochs too unless told otherwise."""
    loop.EVERY_S = 0.002
    keeper.SHORTEST_S = 0.0
    keeper.WITHIN_S = 0.0 if within else keeper.WITHIN_S
    keeper.COST_SHARE = 1e9
    os.fsync = lambda handle: None  # a killed process loses nothing that it handed to the system; only time is saved


def train_until_killed(folder: Path) -> None:
    write_often()
    run(folder)


def train_with_small_files(folder: Path, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    write_often()
    fitted = run(folder, resume=False)
    assert fitted.epochs == 6
