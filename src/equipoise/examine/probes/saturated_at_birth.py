"""`saturated-at-birth`: do units sit at their asymptotes before the first step?"""

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict
from equipoise.examine.gates import RECURRENT, gates_of
from equipoise.examine.probes.anatomy import trace
from equipoise.examine.probes.hearing import hear
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.reaching import standardised
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Setup, running
from equipoise.stats.intervals import proportion

NAME = "saturated-at-birth"
_ROWS, _EDGE, _MANY = 128, 0.0067, 0.4


@probe(NAME)
def saturated_at_birth(setup: Setup) -> Symptom:
    """Count units that are within 0.7 % of an asymptote for most samples, then again with standardised inputs.

    A sigmoid is that near where its pre-activation passes 5. What standardised inputs cure is the inputs' fault, else
    the weights'.
    """
    network = running(setup).network.eval()
    inputs, _ = sample(setup, _ROWS)
    shares = _shares(network, inputs)
    if not shares:
        raise InapplicableError("no hidden unit has two asymptotes")
    worst = max(shares, key=lambda name: shares[name].low)
    share = shares[worst]
    estimates = {f"saturated units in {worst}": share}
    if share.low <= _MANY:
        claim = (
            f"At most {share.value:.0%} of the units of a layer sit at an asymptote for most samples, in "
            f"{len(shares)} layers."
        )
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    eased = _shares(network, standardised(inputs)).get(worst)
    by_inputs = eased is not None and eased.value < 0.5 * share.value
    cure = "Standardise the inputs." if by_inputs else "Scale the weights down: Glorot for sigmoid and tanh."
    causes = {"unscaled_input": 4.0, "bad_initialization": 0.5}
    if not by_inputs:
        causes = {"bad_initialization": 4.0, "unscaled_input": 0.5}
    claim = f"{share.value:.0%} of the units of {worst} sit at an asymptote for most of {len(inputs)} samples. {cure}"
    where = tuple(
        f"layer:{name}" for name in sorted(shares, key=lambda name: -shares[name].low) if shares[name].low > _MANY
    )
    return Symptom(
        name=NAME,
        verdict=Verdict.FAIL,
        claim=claim,
        where=("inputs", *where) if by_inputs else where,
        suggests={"saturated_activation": 4.0, **causes},
        estimates=estimates,
    )


@torch.no_grad()
def _shares(network: nn.Module, inputs: Tensor) -> dict[str, Estimate]:
    """Return the share of units at an asymptote, by layer."""
    found: dict[str, list[Tensor]] = {}
    for one in hear(network, inputs):
        if one.bounds is not None and not one.final:
            found.setdefault(one.where or one.function, []).append(_at_edge(one.values, one.bounds))
    for call in trace(network, inputs).calls:
        if isinstance(call.module, RECURRENT) and call.inputs is not None:
            for gate in gates_of(call.module, (call.inputs,)):
                if gate.bounds is not None:
                    found.setdefault(call.name, []).append(_at_edge(gate.values.transpose(1, 2), gate.bounds))
    counted = {name: torch.cat(flags) for name, flags in found.items()}
    return {name: proportion(int(flags.sum()), len(flags)) for name, flags in counted.items() if len(flags)}


def _at_edge(values: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return for each unit of values (n, units, positions) whether most values are at an asymptote."""
    low, high = bounds
    edge = _EDGE * (high - low)
    near = (values < low + edge) | (values > high - edge)
    return near.double().mean((0, 2)) > 0.5
