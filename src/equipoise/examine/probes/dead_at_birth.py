"""`dead-at-birth`: are there rectified units, or whole layers, that say nothing before the first step?"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict
from equipoise.examine.probes.anatomy import Call, trace
from equipoise.examine.probes.hearing import RECTIFIERS, Heard, hear
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Setup, running
from equipoise.stats.intervals import proportion

NAME = "dead-at-birth"
_ROWS, _FEW = 256, 64
_MANY = 0.6


@probe(NAME)
def dead_at_birth(setup: Setup) -> Symptom:
    """Count rectified units that are silent on every sample, layer by layer, at birth and after other draws of weights.

    A layer that is silent whatever its weights are is dead by construction; one that is silent only as it was
    initialised is dead by its weights, biases or inputs.
    """
    network = running(setup).network.eval()
    inputs, _ = sample(setup, _ROWS)
    mute = _mute_by_construction(running(setup).network.eval(), inputs[:_FEW])
    if mute:
        claim = (
            f"{mute} puts out the same for all samples, whatever the weights are. Check the sign before "
            "it, or remove it."
        )
        suggests = {"dead_layer": 6.0, "dying_relu": 1.0}
        return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=(f"layer:{mute}",), suggests=suggests)
    heard = [one for one in hear(network, inputs) if one.function in RECTIFIERS and not one.final]
    if not heard:
        raise InapplicableError("there are no hidden rectified units")
    shares = [_silent(one) for one in heard]
    worst = max(range(len(heard)), key=lambda place: shares[place].low)
    estimates = {f"silent units in {heard[worst].where or 'the network'}": shares[worst]}
    if shares[worst].low <= _MANY:
        claim = (
            f"At most {shares[worst].value:.0%} of the units of a rectified layer are silent on all {len(inputs)} "
            f"samples, in {len(heard)} layers."
        )
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    bad = [place for place, share in enumerate(shares) if share.low > _MANY]
    where = tuple(dict.fromkeys(f"layer:{heard[place].where}" for place in bad))
    began = f"{shares[worst].value:.0%} of the units of {heard[worst].where} are silent on all {len(inputs)} samples"
    if shares[worst].value == 1 and _by_construction(network, inputs, len(heard), bad[0]):
        claim = f"{began}, whatever the weights are. Check the sign before its activation, or remove the layer."
        where = (f"layer:{heard[bad[0]].where}", *where[1:])
        suggests = {"dead_layer": 6.0, "dying_relu": 1.0}
        return Symptom(
            name=NAME, verdict=Verdict.FAIL, claim=claim, where=where, suggests=suggests, estimates=estimates
        )
    claim = f"{began}, but not with other weights. Use He weights, zero biases and standardised inputs."
    # Weights that lean to one side silence units after a rectified layer, whose outputs are never below zero.
    suggests = {"dying_relu": 4.0, "bad_initialization": 4.0, "dead_layer": 1.0, "unscaled_input": 1.0}
    return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=where, suggests=suggests, estimates=estimates)


def _silent(heard: Heard) -> Estimate:
    silent = (heard.values == 0).all(2).all(0)
    return proportion(int(silent.sum()), len(silent))


@torch.no_grad()
def _by_construction(network: nn.Module, inputs: Tensor, many: int, place: int) -> bool:
    """Whether an activation stays silent whatever the weights are."""
    for _ in _drawn_anew(network):
        heard = [one for one in hear(network, inputs) if one.function in RECTIFIERS and not one.final]
        if len(heard) != many or bool(heard[place].values.any()):
            return False
    return True


@torch.no_grad()
def _mute_by_construction(network: nn.Module, inputs: Tensor) -> str:
    """Return the first hidden module whose outputs are alike for samples that differ, whatever the weights are."""
    found: list[str] | None = None
    for _ in _drawn_anew(network):
        seen = trace(network, inputs)
        mute = [call.name for call in seen.calls if _mute(call, len(inputs))]
        last = seen.last()
        found = [name for name in mute if name != last and (found is None or name in found)]
        if not found:
            return ""
    return found[0] if found else ""


def _mute(call: Call, n: int) -> bool:
    given, made = call.inputs, call.outputs
    if given is None or made is None or len(given) != n or len(made) != n or n < 2 or not made.is_floating_point():
        return False
    return not torch.equal(given, given[:1].expand_as(given)) and bool((made == made[:1]).all())


def _drawn_anew(network: nn.Module) -> Iterator[None]:
    """Draw weights as He et al. (ICCV 2015) do, and biases with a deviation of 0.1, three times."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(parameter)
            if parameter.dim() > 1:
                parameter.copy_(noise * (2.0 / max(parameter[0].numel(), 1)) ** 0.5)
            else:
                parameter.add_(0.1 * noise)
        yield
