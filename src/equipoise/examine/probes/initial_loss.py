"""`initial-loss`: does training begin where a network that knows nothing should, or far worse?"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.contract import Contract, contract
from equipoise.examine.probes.pairing import mismatches
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.reaching import standardised
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Loss, Setup, running
from equipoise.examine.probes.task import aligned, as_outputs, canonical
from equipoise.networks.foreign import first_tensor
from equipoise.stats.intervals import mean

NAME = "initial-loss"
_ROWS, _CHUNKS, _STEPS = 256, 8, 120


@probe(NAME)
def initial_loss(setup: Setup) -> Symptom:
    """Compare the loss at birth with that of the best answer that is the same for every sample.

    For a cross-entropy that best answer is the distribution of the labels, so its loss is their entropy. A birth
    within a nat of it is sound; the interval of the difference comes from parts of the samples.
    """
    given = contract(setup)
    if (
        given.task.kind == "opaque"
        or given.loss.accepts == "unknown"
        or given.loss.indifferent
        or given.end.kind in ("constant",)
    ):
        raise InapplicableError("the loss or the outputs leave no best constant answer; see `loss-pairing`")
    inputs, targets = sample(setup, _ROWS)
    network = running(setup).network.eval()
    outputs = _ran(network, inputs)
    best = _best_constant(setup.loss, given, outputs, targets)
    born, constant = _value(setup.loss, outputs, targets), _value(setup.loss, best, targets)
    if not (math.isfinite(born) and math.isfinite(constant)):
        raise InapplicableError("the loss is not finite before the first step; see `loss-shapes`")
    excess = _excess(setup.loss, outputs, best, targets, given.loss.summed)
    estimates = {"loss at birth": exact(born), "loss of the best constant": exact(constant), "excess": excess}
    began = f"The loss at birth is {born:.4g}, that of the best constant answer {constant:.4g}"
    if given.loss.accepts == "values":
        return _of_values(given, outputs, targets, began, estimates)
    if excess.low <= 1.0:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=f"{began}.", estimates=estimates)
    weight = min(3.0, 0.5 + math.log2(excess.low + 1.0) / 1.5)
    claim = f"{began}: it begins by being wrong and sure, since outputs spread by {float(outputs.std()):.3g}."
    if any(one.verdict == Verdict.FAIL for one in mismatches(given)):
        claim = f"{began}, since outputs, loss and targets do not go together; see `loss-pairing`."
        return Symptom(name=NAME, verdict=Verdict.UNSURE, claim=claim, where=("loss",), estimates=estimates)
    eased = _excess(setup.loss, _ran(network, standardised(inputs)), best, targets, given.loss.summed)
    by_inputs = eased.value < 0.5 * excess.value
    fault, place, cure = ("unscaled_input", "inputs", "Standardise the inputs")
    if not by_inputs:
        fault, place, cure = "bad_initialization", given.where_last, "Scale the first weights down"
    return Symptom(
        name=NAME,
        verdict=Verdict.FAIL if excess.low > 3.0 else Verdict.WARN,
        claim=f"{claim} With standardised inputs it would exceed that by {eased.value:.3g}. {cure}.",
        where=(place,),
        suggests={fault: weight},
        estimates=estimates | {"excess with standardised inputs": eased},
    )


@torch.no_grad()
def _ran(network: nn.Module, inputs: Tensor) -> Tensor:
    return first_tensor(network(inputs))


def _of_values(
    given: Contract, outputs: Tensor, targets: Tensor, began: str, estimates: dict[str, Estimate]
) -> Symptom:
    """Judge a loss of quantities: are outputs far from the targets because of their own spread, or by their offset?"""
    dense = aligned(given.task, outputs, targets)
    if dense is None:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=f"{began}.", estimates=estimates)
    made = canonical(given.task, outputs).double()
    spread = float(dense.std(0).mean()) or 1.0
    loud = float(made.std(0).mean()) / spread
    offset = float((made.mean(0) - dense.mean(0)).abs().mean()) / spread
    estimates = estimates | {
        "spread of outputs in target spreads": exact(loud),
        "offset in target spreads": exact(offset),
    }
    said = (
        f"{began}; outputs spread {loud:.2g} times as far as targets and lie {offset:.2g} target spreads beside them."
    )
    if loud > 5:
        weight = min(4.0, 1.5 * math.log10(loud) + 0.5)
        suggests = {"bad_initialization": 0.7 * weight, "unscaled_input": 0.7 * weight}
        verdict = Verdict.FAIL if loud > 30 else Verdict.WARN
        return Symptom(
            name=NAME,
            verdict=verdict,
            claim=said,
            where=("inputs", given.where_last),
            suggests=suggests,
            estimates=estimates,
        )
    if offset > 10:
        suggests = {"unscaled_target": min(3.0, math.log10(offset))}
        return Symptom(
            name=NAME, verdict=Verdict.UNSURE, claim=said, where=("targets",), suggests=suggests, estimates=estimates
        )
    return Symptom(name=NAME, verdict=Verdict.PASS, claim=said, estimates=estimates)


def _best_constant(loss: Loss, given: Contract, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return outputs that are the same for every sample and cost least, found by gradient descent on what is behind."""
    task, accepts = given.task, given.loss.accepts
    layout = canonical(task, outputs)
    dense = aligned(task, outputs, targets)
    columns = layout.shape[2]
    start = torch.zeros(1, 1, columns, dtype=torch.float64)
    scale = 1.0
    if accepts == "values" and dense is not None:
        start, scale = dense.mean((0, 1), keepdim=True), max(float(dense.std()), 1e-6)
    behind = torch.zeros_like(start).requires_grad_()
    optimizer = torch.optim.Adam([behind], lr=0.1)

    def outputs_of(latent: Tensor) -> Tensor:
        if accepts == "probabilities":
            several = task.categorical and columns > 1
            wide = latent.softmax(-1) if several else latent.sigmoid()
        elif accepts == "log-probabilities":
            wide = latent.log_softmax(-1)
        else:
            wide = start + scale * latent
        return as_outputs(task, wide.expand(layout.shape), outputs)

    for _ in range(_STEPS):
        optimizer.zero_grad()
        value = loss(outputs_of(behind), targets)
        if not value.requires_grad:
            break
        value.backward()
        optimizer.step()
    return outputs_of(behind.detach())


@torch.no_grad()
def _value(loss: Loss, outputs: Tensor, targets: Tensor) -> float:
    return float(loss(outputs, targets))


def _excess(loss: Loss, outputs: Tensor, best: Tensor, targets: Tensor, summed: bool) -> Estimate:
    """Return by how much the loss at birth exceeds the best constant's, with its interval over parts of the samples."""
    chunks = min(_CHUNKS, max(2, len(outputs) // 4))
    differences: list[float] = []
    for part in torch.arange(len(outputs)).chunk(chunks):
        by = _value(loss, outputs[part], targets[part]) - _value(loss, best[part], targets[part])
        differences.append(by / len(part) if summed else by)
    return mean(np.asarray(differences), unit="nats")
