"""One run of a training from its start, and what came of it."""

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from equipoise.core.diagnosis import Symptom
from equipoise.examine.diagnosis.scoring import Goal, Score, score
from equipoise.examine.probes.setup import (
    Batch,
    MakeOptimizer,
    Running,
    Setup,
    batches,
    experiment,
    restarted,
    rows,
    take_step,
)
from equipoise.vitals.watch import watch

EVALUATED_AT_ONCE = 512
MOST_JUDGED = 2000
"""Rows that a network is judged on, at most."""
LOOKS = 8
"""How often a run is judged while it goes on."""


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """How outputs become a score.

    Attributes:
        goal: What the targets ask for.
        cut: Output above which the answer to a binary question is yes.
        data: Inputs and targets that it is judged on.
        decode: Maps outputs to the unit of the targets.
    """

    goal: Goal
    cut: float
    data: Batch
    decode: Callable[[Tensor], Tensor] = lambda outputs: outputs

    def judge(self, network: nn.Module, data: Batch | None = None) -> Score:
        """Return the score of a network, in evaluation mode, on `data` or on its own."""
        inputs, targets = self.data if data is None else data
        return self.of(evaluated(network, inputs), targets)

    def of(self, outputs: Tensor, targets: Tensor) -> Score:
        """Return the score of outputs."""
        return score(self.goal, self.decode(outputs), targets, self.cut)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of a run.

    Attributes:
        score: How good the network is at the end.
        best: How good it was at its best look.
        train: How good it is on the training rows at the end.
        losses: (steps,) loss of every step.
        held_losses: (looks,) loss on the judged rows.
        updates: (looks,) median over layers of the norm of a step over the norm of the weights.
        finite: Whether every loss was finite.
        complete: Whether it was run to its end.
        state: The network and optimiser at the end.
        symptoms: What the streaming detectors heard, where they listened.
        seconds: Wall-clock time.
    """

    score: Score
    best: Score
    train: Score
    losses: np.ndarray
    held_losses: np.ndarray
    updates: np.ndarray
    finite: bool
    complete: bool
    state: Running
    symptoms: tuple[Symptom, ...]
    seconds: float


def evaluated(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return a network's outputs in evaluation mode; the mode is put back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            parts = [network(inputs[i : i + EVALUATED_AT_ONCE]) for i in range(0, len(inputs), EVALUATED_AT_ONCE)]
    finally:
        for module, mode in modes:
            module.training = mode
    return torch.cat(parts)


def judged_rows(data: Batch) -> Batch:
    """Return the rows that a network is judged on: all, or the first of many."""
    return rows(data, slice(0, MOST_JUDGED))


def run(setup: Setup, judge: Judge, *, seed: int = 1, deadline: float = math.inf, listening: bool = False) -> Outcome:
    """Train from the start and judge.

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
    total = setup.epochs * math.ceil(len(setup.train[0]) / setup.batch_size)
    looks = {max(1, round(total * (i + 1) / LOOKS)) for i in range(LOOKS)}
    losses: list[float] = []
    seen: list[Look] = []
    with experiment(seed):
        state = restarted(setup)
        if setup.begin is None:
            state.network.train()
        vitals = watch(state.network, state.optimizer) if listening else None
        with vitals or contextlib.nullcontext():
            for batch in batches(setup, generator):
                is_look = len(losses) + 1 in looks
                before = weights_of(state.network) if is_look else {}
                losses.append(float(take_step(setup, state, batch)))
                if is_look:
                    seen.append(_look(setup, judge, state, before))
                if time.perf_counter() > deadline:
                    break
        if len(losses) not in looks:
            seen.append(_look(setup, judge, state, {}))
        train = judge.judge(state.network, judged_rows(setup.train))
    return Outcome(
        score=seen[-1].score,
        best=max((one.score for one in seen), key=lambda one: one.value),
        train=train,
        losses=np.array(losses),
        held_losses=np.array([one.loss for one in seen]),
        updates=np.array([one.update for one in seen]),
        finite=bool(np.isfinite(losses).all()),
        complete=len(losses) == total,
        state=state,
        symptoms=vitals.symptoms() if vitals is not None else (),
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How a run stood at one step: score, loss on the judged rows, and the median update-to-weight ratio."""

    score: Score
    loss: float
    update: float


def _look(setup: Setup, judge: Judge, state: Running, before: dict[str, Tensor]) -> Look:
    outputs = evaluated(state.network, judge.data[0])
    try:
        with torch.no_grad():
            loss = float(setup.loss(outputs, judge.data[1]))
    except Exception:  # a loss may depend on the size of the batch
        loss = math.nan
    after = weights_of(state.network)
    ratios = [
        float((after[name] - old).norm() / old.norm().clamp_min(1e-12))
        for name, old in before.items()
        if name in after and after[name].shape == old.shape
    ]
    return Look(judge.of(outputs, judge.data[1]), loss, float(np.median(ratios)) if ratios else math.nan)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of the trainable weights (not the biases) by name."""
    return {
        name: one.detach().clone() for name, one in network.named_parameters() if one.requires_grad and one.ndim > 1
    }


def optimizer_like(optimizer: Optimizer) -> MakeOptimizer:
    """Return a function that makes optimisers of the same kind and constants for other parameters."""
    kind: Callable[..., Optimizer] = type(optimizer)
    group = optimizer.param_groups[0]
    options = {name: group[name] for name in optimizer.defaults if name in group}
    taken = inspect.signature(kind).parameters
    # Checked by the constructor only where they are ordinary: a faulty value is put in afterwards.
    safe = {name: value for name, value in optimizer.defaults.items() if name in taken} | {"lr": 1e-3}

    def make(parameters: Iterable[nn.Parameter]) -> Optimizer:
        made = kind(parameters, **safe)
        for one in made.param_groups:
            one.update(options)
        return made

    return make


def with_rate(optimizer: MakeOptimizer, factor: float) -> MakeOptimizer:
    """Return a maker of optimisers whose learning rates are `factor` times as large."""

    def make(parameters: Iterable[nn.Parameter]) -> Optimizer:
        made = optimizer(parameters)
        for group in made.param_groups:
            group["lr"] *= factor
        return made

    return make


def plain(setup: Setup) -> Setup:
    """Return the training with a plain loop."""
    return replace(setup, step=None, begin=None)
