"""`batch-statistics`: are batches large enough for layers that normalise over them?"""

import math

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.anatomy import Call, listening
from equipoise.examine.probes.depth import without_dropout
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Setup, running
from equipoise.networks.foreign import first_tensor
from equipoise.stats.intervals import mean

NAME = "batch-statistics"
_TRIALS = 16
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@probe(NAME)
@torch.no_grad()
def batch_statistics(setup: Setup) -> Symptom:
    """Put a sample into batches of different company and see how much that moves its outputs in training mode.

    The mean over m values has a noise of 1/sqrt(m) of their deviation, so what counts is the number of values that a
    channel is normalised over: rows times positions.
    """
    network = without_dropout(running(setup).network)
    norms: list[tuple[str, nn.Module]] = [
        (name, one) for name, one in network.named_modules() if isinstance(one, _NORMS) and one.training
    ]
    if not norms:
        raise InapplicableError("no layer normalises over the batch")
    size = min(setup.batch_size, len(setup.train[0]))
    if size < 2:
        return _alone(norms[0][0], size)
    counts: dict[str, int] = {}
    inputs, _ = sample(setup, size)

    def count(call: Call) -> None:
        counts.setdefault(call.name, _values(call.inputs))

    with listening(norms, count):
        network(inputs)
    least = min(counts, key=lambda name: counts[name])
    noise = _company(setup, network, size)
    estimates: dict[str, Estimate] = {"values a channel": exact(counts[least])}
    claim = (
        f"{least} normalises over {counts[least]} values a channel, so its means are off by "
        f"{1 / math.sqrt(counts[least]):.0%}"
    )
    if noise is not None:
        estimates["movement by company"] = noise
        claim += f", and outputs move by {noise.value:.0%} of their deviation with the company in the batch"
    rest = len(setup.train[0]) % size
    if rest == 1 and counts[least] == size:
        claim += f". The last batch of an epoch has a single row, which {least} refuses"
    weight = 5.0 if counts[least] < 4 else 2.5 if counts[least] < 8 else 0.0
    if weight == 0:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=f"{claim}.", estimates=estimates)
    return Symptom(
        name=NAME,
        verdict=Verdict.FAIL if weight > 3 else Verdict.WARN,
        claim=f"{claim}. Use batches of 16 or more, or group normalisation.",
        where=("loop.batch_size", f"layer:{least}"),
        suggests={"batch_size_too_small": weight},
        estimates=estimates,
    )


def _alone(name: str, size: int) -> Symptom:
    claim = f"{name} normalises over a batch of {size}, which leaves nothing of the signal. Use batches of 16 or more."
    where = ("loop.batch_size", f"layer:{name}")
    suggests = {"batch_size_too_small": 6.0}
    return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=where, suggests=suggests)


def _values(given: Tensor | None) -> int:
    if given is None or given.dim() < 2:
        return 1
    return max(1, given.numel() // given.shape[1])


def _company(setup: Setup, network: nn.Module, size: int) -> Estimate | None:
    """Return by how much of their deviation a sample's outputs move with the other samples of its batch."""
    if len(setup.train[0]) < 2 * size:
        return None
    fixed, _ = sample(setup, 1)
    moved: list[Tensor] = []
    for trial in range(_TRIALS):
        others, _ = sample(setup, size - 1, seed=trial + 1)
        moved.append(first_tensor(network(torch.cat([fixed, others])))[0].double().flatten())
    crowd, _ = sample(setup, min(size * 8, len(setup.train[0]), 256))
    spread = float(first_tensor(network(crowd)).double().std(0).mean())
    if spread <= 0:
        return None
    return (
        mean((torch.stack(moved).std(0) / spread).numpy())
        if len(moved[0]) > 1
        else exact(float(torch.stack(moved).std()) / spread)
    )
