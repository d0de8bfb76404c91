"""`memorises-a-batch`: can the network learn one small batch by heart, with its own loop and with a sound recipe?"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.depth import without_dropout
from equipoise.examine.probes.loss_shapes import loss_shapes
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import (
    Batch,
    CannotRestartError,
    Loss,
    Setup,
    plain_step,
    restarted,
    running,
    take_step,
)

NAME = "memorises-a-batch"
_ROWS, _STEPS, _OWN_STEPS, _SHARE_S = 16, 200, 150, 0.35
_LEARNED, _NOTHING, _FAIR, _BY_HEART = 0.5, 0.1, 75, 0.02


@probe(NAME)
def memorises_a_batch(setup: Setup) -> Symptom:
    """Train copies on sixteen samples: with Adam without dropout, with the own loop, and with Adam on changed samples.

    What is learned is the share of the way from the best answer that is the same for all samples towards the least loss
    that any of the runs reaches. Inputs of zeros leave nothing to tell samples apart by, so a network that uses its
    inputs learns less from them. A batch with shuffled targets can be learned by heart like any other.
    """
    if loss_shapes(setup).verdict is Verdict.FAIL:
        raise InapplicableError("outputs and targets do not meet as they should; see `loss-shapes`")
    batch = _distinct(setup)
    shuffled = (batch[0], batch[1][torch.randperm(len(batch[1]), generator=torch.Generator().manual_seed(1))])
    blank = (torch.zeros_like(batch[0]), batch[1])
    if not any(one.requires_grad for one in setup.network.parameters()):
        raise InapplicableError("there is nothing to train")
    sound, rate = _fitted(setup, batch)
    if not math.isfinite(sound.start):
        raise InapplicableError("the loss is not finite before the first step; see `loss-shapes`")
    runs = {"sound recipe": sound}
    runs |= {
        "shuffled targets": _fitted(setup, shuffled, (rate,))[0],
        "inputs of zeros": _fitted(setup, blank, (rate,))[0],
    }
    own = _own(setup, batch)
    if own is not None:
        runs["own loop"] = own
    if min(one.least for one in runs.values()) >= sound.start - 1e-9 * abs(sound.start):
        return _nothing(runs, f"The loss of {len(batch[0])} samples does not fall at all, whatever the recipe")
    shares = _shares(runs)
    return _judged(runs, shares, len(batch[0]))


@dataclass(frozen=True, slots=True)
class _Run:
    """Loss at birth and least loss, in evaluation mode, after some steps on one batch."""

    start: float
    least: float
    steps: int


def _judged(runs: dict[str, _Run], shares: dict[str, float], n: int) -> Symptom:
    estimates: dict[str, Estimate] = {f"learned with {name}": exact(value) for name, value in shares.items()}
    sound, own, zeros = shares["sound recipe"], shares.get("own loop"), shares["inputs of zeros"]
    said = f"Of {n} samples, Adam learns {sound:.0%} in {runs['sound recipe'].steps} steps"
    said += f", the own loop {own:.0%} in {runs['own loop'].steps}" if own is not None else ""
    said += f", and {zeros:.0%} with inputs of zeros"
    if max(sound, own or 0.0) < _NOTHING:
        return _nothing(runs, said)
    if sound - zeros < 0.1 * sound:
        claim = (
            f"{said}: inputs of zeros do as well. Look for what cuts them off: dead or constant layers, a wrong axis."
        )
        suggests = {"dead_layer": 1.5, "dying_relu": 1.0, "bad_initialization": 1.0, "vanishing_gradient": 1.0}
        suggests["unscaled_input"] = 1.0
        return Symptom(
            name=NAME,
            verdict=Verdict.FAIL,
            claim=claim,
            where=("loop.forward",),
            suggests=suggests,
            estimates=estimates,
        )
    if own is not None and own < _NOTHING and sound > _LEARNED and runs["own loop"].steps >= _FAIR:
        claim = f"{said}: the recipe, and not the network, is in the way."
        suggests = {"lr_too_low": 1.5, "wrong_optimizer": 1.0, "lr_too_high": 0.7}
        if not math.isfinite(runs["own loop"].least) or runs["own loop"].least > runs["own loop"].start:
            suggests = {"lr_too_high": 1.5, "gradient_ascent": 0.7, "wrong_optimizer": 0.7}
        return Symptom(
            name=NAME,
            verdict=Verdict.UNSURE,
            claim=claim,
            where=("optimizer.lr", "loop.step"),
            suggests=suggests,
            estimates=estimates,
        )
    return Symptom(name=NAME, verdict=Verdict.PASS, claim=f"{said}.", estimates=estimates)


def _nothing(runs: dict[str, _Run], said: str) -> Symptom:
    sound = runs["sound recipe"]
    claim = f"{said}: from {sound.start:.4g} to {sound.least:.4g}. The network, its loss or their pairing is at fault."
    suggests = {
        "vanishing_gradient": 1.2,
        "dead_layer": 1.0,
        "wrong_output_activation": 1.0,
        "bad_initialization": 1.0,
        "dying_relu": 1.0,
        "loss_mismatch": 0.7,
        "underfitting_capacity": 0.5,
    }
    estimates = {"loss at birth": exact(sound.start), "least loss": exact(sound.least)}
    return Symptom(
        name=NAME,
        verdict=Verdict.FAIL,
        claim=claim,
        where=("loop.forward", "loss"),
        suggests=suggests,
        estimates=estimates,
    )


def _shares(runs: dict[str, _Run]) -> dict[str, float]:
    """Return the share of the way from the blank answer to the least loss of all that each run made."""
    floor = min(one.least for one in runs.values())
    ceiling = max(runs["inputs of zeros"].least, floor)
    # Where zeros do as well as anything, the way begins at birth.
    top = ceiling if ceiling - floor > 0.05 * abs(runs["sound recipe"].start - floor) else runs["sound recipe"].start
    way = max(top - floor, 1e-12)
    return {name: min(1.0, max(0.0, (top - one.least) / way)) for name, one in runs.items()}


def _distinct(setup: Setup) -> Batch:
    """Return sixteen samples among whose targets there are several, if there are."""
    n = min(_ROWS, len(setup.train[0]))
    if n < 4:
        raise InapplicableError(f"{n} samples are no batch to learn by heart")
    batch = sample(setup, n)
    for seed in range(1, 6):
        if len(batch[1].reshape(n, -1).unique(dim=0)) > 1:
            return batch
        batch = sample(setup, n, seed)
    raise InapplicableError("all targets are alike")


def _fitted(setup: Setup, batch: Batch, rates: tuple[float, ...] = (1e-2, 1e-3)) -> tuple[_Run, float]:
    """Return what Adam reaches without dropout at the best of some learning rates, and that rate."""
    found: list[tuple[_Run, float]] = []
    for rate in rates:
        network = without_dropout(running(setup).network)
        optimizer = torch.optim.Adam([one for one in network.parameters() if one.requires_grad], lr=rate)
        run = _trained(network, setup.loss, batch, _STEPS, _adam(setup.loss, network, optimizer, batch))
        found.append((run, rate))
        if run.start - run.least > 0.9 * abs(run.start):
            break
    return min(found, key=lambda one: one[0].least)


def _adam(loss: Loss, network: nn.Module, optimizer: Optimizer, batch: Batch) -> Callable[[], object]:
    return lambda: plain_step(loss, network, optimizer, batch)


def _own(setup: Setup, batch: Batch) -> _Run | None:
    try:
        state = restarted(setup)
    except CannotRestartError:
        return None
    return _trained(state.network, setup.loss, batch, _OWN_STEPS, lambda: take_step(setup, state, batch))


def _trained(network: nn.Module, loss: Loss, batch: Batch, steps: int, step: Callable[[], object]) -> _Run:
    """Take steps until they or the time are spent; the loss is measured without dropout."""
    began = time.process_time()
    start = least = _value(network, loss, batch)
    taken = 0
    for taken in range(1, steps + 1):
        step()
        if taken % 25 == 0 or taken == steps:
            now = _value(network, loss, batch)
            if not math.isfinite(now):
                break
            least = min(least, now)
            if 0 <= now < _BY_HEART * start:
                break
            if time.process_time() - began > _SHARE_S:
                break
    return _Run(start, least, taken)


@torch.no_grad()
def _value(network: nn.Module, loss: Loss, batch: Batch) -> float:
    """Return the loss with normalisation as in training and without dropout; modes and statistics are put back."""
    modes = [(module, module.training) for module in network.modules()]
    kept = [one.detach().clone() for one in network.buffers()]
    without_dropout(network)
    value = float(loss(network(batch[0]), batch[1]))
    for buffer, before in zip(network.buffers(), kept, strict=True):
        buffer.copy_(before)
    for module, training in modes:
        module.training = training
    return value
