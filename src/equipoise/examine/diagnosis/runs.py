"""One run of a training from its start, and what came of it."""

import contextlib
import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.examine.diagnosis.judge import Judge, judged_rows
from equipoise.examine.diagnosis.scoring import Score
from equipoise.examine.probes.setup import Running, Setup, batches, experiment, restarted, rows, take_step
from equipoise.vitals.watch import watch

LOOKS = 8
"""How often a run is looked at while it goes on."""

FEW_JUDGED = 128
"""Rows that a run is judged on that was cut off, at most."""


class OutOfTimeError(Exception):
    """Raised when the time is spent before a run of ours has come to its end, and so says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How a run stood at one step: loss on the judged rows, and the median update-to-weight ratio."""

    loss: float
    update: float


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of a run.

    Attributes:
        score: How good the network is at the end.
        train: How good it is on the training rows at the end, where it was looked at on its way.
        losses: (steps,) loss of every step.
        looks: How it stood on its way, where it was looked at, and at the end.
        finite: Whether every loss was finite.
        complete: Whether it was run to its end.
        state: The network and optimiser at the end.
        symptoms: What the streaming detectors heard, where they listened.
        seconds: Wall-clock time.
    """

    score: Score
    train: Score
    losses: np.ndarray
    looks: tuple[Look, ...]
    finite: bool
    complete: bool
    state: Running
    symptoms: tuple[Symptom, ...]
    seconds: float


def run(setup: Setup, judge: Judge, *, seed: int = 1, deadline: float = math.inf, listening: bool = False) -> Outcome:
    """Train from the start, look at it on its way, and judge.

    Args:
        setup: The training; its own loop is used where it has one.
        judge: How the network is judged.
        seed: Seeds the order of the rows and everything random in the loop.
        deadline: Value of `time.perf_counter` at which it stops early.
        listening: Whether the streaming detectors listen to it.

    Raises:
        CannotRestartError: It cannot be started anew.
    """
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    total = steps_of(setup)
    at = {max(1, round(total * (i + 1) / LOOKS)) for i in range(LOOKS)}
    losses: list[float] = []
    looks: list[Look] = []
    late = False
    with experiment(seed):
        state = _started(setup)
        vitals = watch(state.network, state.optimizer) if listening else None
        with vitals or contextlib.nullcontext():
            for batch in batches(setup, generator):
                is_look = len(losses) + 1 in at
                before = weights_of(state.network) if is_look else {}
                losses.append(float(take_step(setup, state, batch)))
                late = time.perf_counter() > deadline
                if is_look and len(losses) < total and not late:
                    looks.append(Look(judge.look(state.network, setup.loss)[1], _update(state, before)))
                if late:
                    break
        # What was cut off has no time left to be judged on every row.
        few = slice(0, FEW_JUDGED if late else None)
        score, loss = replace(judge, data=rows(judge.data, few)).look(state.network, setup.loss)
        looks.append(Look(loss, _update(state, before)))
        train = judge.judge(state.network, rows(judged_rows(setup.train), few))
    return Outcome(
        score=score,
        train=train,
        losses=np.array(losses),
        looks=tuple(looks),
        finite=bool(np.isfinite(losses).all()),
        complete=len(losses) == total,
        state=state,
        symptoms=vitals.symptoms() if vitals is not None else (),
        seconds=time.perf_counter() - began,
    )


def run_whole(setup: Setup, judge: Judge, *, deadline: float = math.inf, seed: int = 1) -> tuple[Score, float]:
    """Train from the start to the end without a look on the way, and return the score and how long it took.

    Args:
        setup: The training; its own loop is used where it has one.
        judge: How the network is judged.
        deadline: Value of `time.perf_counter` at which it is given up.
        seed: Seeds the order of the rows and everything random in the loop.

    Raises:
        CannotRestartError: It cannot be started anew.
        OutOfTimeError: It was given up.
    """
    began = time.perf_counter()
    with experiment(seed):
        state = _started(setup)
        for batch in batches(setup, torch.Generator().manual_seed(seed)):
            if time.perf_counter() > deadline:
                raise OutOfTimeError
            take_step(setup, state, batch)
        return judge.judge(state.network), time.perf_counter() - began


def _started(setup: Setup) -> Running:
    state = restarted(setup)
    if setup.begin is None:
        state.network.train()
    return state


def steps_of(setup: Setup) -> int:
    """Return how many steps a training takes."""
    return setup.epochs * math.ceil(len(setup.train[0]) / setup.batch_size)


def _update(state: Running, before: dict[str, Tensor]) -> float:
    """Return the median over layers of the norm of a step over the norm of the weights; NaN where unknown."""
    after = weights_of(state.network) if before else {}
    ratios = [
        float((after[name] - old).norm() / old.norm().clamp_min(1e-12))
        for name, old in before.items()
        if name in after and after[name].shape == old.shape
    ]
    return float(np.median(ratios)) if ratios else math.nan


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of the trainable weights (not the biases) by name."""
    return {
        name: one.detach().clone() for name, one in network.named_parameters() if one.requires_grad and one.ndim > 1
    }


def plain(setup: Setup) -> Setup:
    """Return the training with a plain loop."""
    return replace(setup, step=None, begin=None)
