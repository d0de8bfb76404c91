"""`linear-stack`: do layers with weights follow each other without a non-linearity between them?"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.anatomy import AFFINE, trace
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Setup, running
from equipoise.networks.foreign import first_tensor

NAME = "linear-stack"
_ROWS, _TOLERANCE = 16, 1e-3


@probe(NAME)
@torch.no_grad()
def linear_stack(setup: Setup) -> Symptom:
    """Replace what a layer gives by random values and see whether what the next layer gets is an affine map of them.

    For an affine map, what the middle of two points is mapped to is the middle of what they are mapped to. A pooling
    layer alone is told by moving with a constant that is added to its inputs, which no activation function does.
    """
    network = running(setup).network.eval()
    inputs, _ = sample(setup, _ROWS)
    seen = trace(network, inputs)
    layers = _called_once([(call.name, call.module) for call in seen.calls if _weighty(call.module)])
    if len(layers) < 2:
        raise InapplicableError("the network has fewer than two layers with weights")
    pairs = [(one, other) for one, other in pairwise(layers) if isinstance(one[1], AFFINE)]
    links = [_link(network, inputs, one, other) for one, other in pairs]
    judged = [one for one in links if one is not None]
    if not judged:
        raise InapplicableError("no two layers with weights follow each other")
    affine = [one for one in judged if one.affine]
    plain = [one for one in judged if one.affine or one.pooling]
    estimates = {"share of links without an activation": exact(len(plain) / len(judged), n=len(judged))}
    if not plain:
        claim = f"All {len(judged)} links between layers with weights are non-linear."
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    whole = len(plain) == len(links) == len(layers) - 1
    return _found(affine, plain, judged, estimates, whole=whole and bool(affine or len(plain) > 1))


@dataclass(frozen=True, slots=True)
class _Link:
    """What lies between two layers with weights: an affine map, a pooling alone, or something else."""

    first: str
    second: str
    affine: bool
    pooling: bool


def _found(
    affine: list[_Link], plain: list[_Link], judged: list[_Link], estimates: dict[str, Estimate], *, whole: bool
) -> Symptom:
    where = tuple(dict.fromkeys(f"layer:{one.first}" for one in plain))
    named = ", ".join(f"{one.first} and {one.second}" for one in plain[:4])
    claim = f"{len(plain)} of {len(judged)} links between layers with weights have no activation: {named}."
    if whole:
        claim = f"No layer has an activation, so {len(judged) + 1} layers do what one linear layer could. {claim}"
        return Symptom(
            name=NAME,
            verdict=Verdict.FAIL,
            claim=f"{claim} Put nn.ReLU() between them.",
            where=where,
            suggests={"missing_activation": 6.0, "underfitting_capacity": 1.0},
            estimates=estimates,
        )
    if len(affine) > 1 and 2 * len(affine) > len(judged):
        weights = {"missing_activation": 3.0}
        return Symptom(name=NAME, verdict=Verdict.WARN, claim=claim, where=where, suggests=weights, estimates=estimates)
    # One linear link in a network that is otherwise non-linear is often meant: a factorised layer, a linear code.
    weights = {"missing_activation": 0.7} if affine else {}
    return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, where=where, suggests=weights, estimates=estimates)


def _weighty(module: nn.Module) -> bool:
    return any(one.dim() > 1 for one in module.parameters()) and not isinstance(module, nn.Embedding)


def _called_once(layers: list[tuple[str, nn.Module]]) -> list[tuple[str, nn.Module]]:
    counts: dict[int, int] = {}
    for _, module in layers:
        counts[id(module)] = counts.get(id(module), 0) + 1
    return [(name, module) for name, module in layers if counts[id(module)] == 1]


def _link(network: nn.Module, inputs: Tensor, one: tuple[str, nn.Module], other: tuple[str, nn.Module]) -> _Link | None:
    """Return what lies between two layers, or None when the second does not depend on the first, or does not say."""
    if not isinstance(other[1], AFFINE):
        return None
    reached = _reached(network, inputs, one[1], other[1])
    if reached is None:
        return None
    given, ask = reached
    generator = torch.Generator().manual_seed(0)
    scale = float(given.std()) or 1.0

    def drawn() -> Tensor:
        return 3 * scale * torch.randn(given.shape, generator=generator).to(given)

    first, second = drawn(), drawn()
    at_first, at_second, between = ask(first), ask(second), ask((first + second) / 2)
    size = float((at_first - at_second).abs().max())
    if size < 1e-9 or not bool(torch.isfinite(between).all()):
        return None
    affine = float((between - (at_first + at_second) / 2).abs().max()) < _TOLERANCE * size
    raised = [ask(point + 5 * scale) - ask(point) for point in (first, second)]
    doubled = ask(2 * first) - 2 * at_first + ask(torch.zeros_like(first))
    moves_along = float((raised[0] - raised[1]).abs().max()) < _TOLERANCE * size
    homogeneous = float(doubled.abs().max()) < _TOLERANCE * size
    return _Link(one[0], other[0], affine, moves_along and homogeneous and not affine)


def _reached(
    network: nn.Module, inputs: Tensor, first: nn.Module, second: nn.Module
) -> tuple[Tensor, Callable[[Tensor], Tensor]] | None:
    """Return what the first layer gives, and a function from that to what the second layer gets."""
    box: dict[str, Tensor | None] = {"put": None, "given": None, "got": None}

    def replace(module: nn.Module, arguments: tuple[object, ...], result: Tensor) -> Tensor:
        del module, arguments
        box["given"] = result.detach()
        put = box["put"]
        return result if put is None else put.clone()

    def keep(module: nn.Module, arguments: tuple[object, ...]) -> None:
        del module
        box["got"] = next((one.detach().clone() for one in arguments if isinstance(one, Tensor)), None)

    def ask(values: Tensor | None) -> Tensor | None:
        box["put"], box["got"] = values, None
        handles = (first.register_forward_hook(replace), second.register_forward_pre_hook(keep))
        torch.manual_seed(0)
        try:
            first_tensor(network(inputs))
        finally:
            for handle in handles:
                handle.remove()
        return box["got"]

    got, given = ask(None), box["given"]
    if got is None or given is None or not given.is_floating_point() or not got.is_floating_point():
        return None
    return given.clone(), lambda values: _present(ask(values))


def _present(values: Tensor | None) -> Tensor:
    if values is None:
        raise InapplicableError("a layer does not run on other values")
    return values.double()
