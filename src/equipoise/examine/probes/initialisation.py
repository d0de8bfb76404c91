"""`initialisation`: are the first weights symmetric, or do signals and gradients fade or grow with depth?"""

import math

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.anatomy import AFFINE
from equipoise.examine.probes.depth import Depth, by_depth
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Batch, Setup, running

NAME = "initialisation"
_ROWS = 64


@probe(NAME)
def initialisation(setup: Setup) -> Symptom:
    """Look for units that can never differ, recurrent weights that blow up, and profiles by depth that fade or grow.

    Units of one layer stay alike when their weights and their gradients are alike. Profiles are of the deviation
    between samples and of the gradient by a layer's outputs, per sample.

    References:
        X. Glorot, Y. Bengio. Understanding the difficulty of training deep feedforward neural networks. AISTATS 2010.
    """
    state = running(setup)
    batch = sample(setup, _ROWS)
    alike = _alike(setup, state.network.eval(), batch)
    if alike:
        where = tuple(f"layer:{name}" for name in alike)
        claim = (
            f"All units of {', '.join(alike)} have the same weights and the same gradient, so they stay one unit each."
        )
        return Symptom(
            name=NAME,
            verdict=Verdict.FAIL,
            claim=f"{claim} Draw the weights at random.",
            where=where,
            suggests={"bad_initialization": 7.0},
        )
    recurrent = _recurrent(state.network)
    if recurrent is not None:
        return recurrent
    profile = by_depth(state.network, setup.loss, batch)
    if not profile:
        raise InapplicableError("no layer with weights is in the graph of the loss")
    return _of_profile(profile)


def _alike(setup: Setup, network: nn.Module, batch: Batch) -> list[str]:
    """Return the layers whose units all have the same weights and the same gradient."""
    network.zero_grad(set_to_none=True)
    setup.loss(network(batch[0]), batch[1]).backward()
    found: list[str] = []
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        if not isinstance(module, AFFINE) or not isinstance(weight, Tensor) or len(weight) < 2 or weight.grad is None:
            continue
        bias, slope = module.bias, weight.grad
        same = _rows_alike(weight.detach()) and (bias is None or _rows_alike(bias.detach()))
        if same and _rows_alike(slope, 1e-5) and (bool(slope.any()) or not bool(weight.any())):
            found.append(name)
    network.zero_grad(set_to_none=True)
    return found


def _rows_alike(values: Tensor, tolerance: float = 1e-7) -> bool:
    spread = (values - values[:1]).abs().max()
    return float(spread) <= tolerance * max(float(values.abs().max()), 1e-12)


def _recurrent(network: nn.Module) -> Symptom | None:
    """Return a symptom when recurrent weights multiply their state by far more than 1 a step."""
    worst, place, limit = 0.0, "", 1.0
    for name, module in network.named_modules():
        if not isinstance(module, (nn.RNN, nn.RNNCell)):
            continue
        bound = 1.5 if module.nonlinearity == "relu" else 2.5
        for kind, weight in module.named_parameters():
            if kind.startswith("weight_hh"):
                radius = float(torch.linalg.eigvals(weight.detach().double()).abs().max())
                if radius / bound > worst:
                    worst, place, limit = radius / bound, name, bound
    if worst <= 1:
        return None
    radius = worst * limit
    claim = (
        f"The recurrent weights of {place} multiply the state by {radius:.2f} a step (spectral radius), so states and "
        f"gradients grow as {radius:.2f}^steps. Use orthogonal recurrent weights."
    )
    return Symptom(
        name=NAME,
        verdict=Verdict.FAIL,
        claim=claim,
        where=(f"layer:{place}",),
        suggests={"bad_initialization": 4.5, "exploding_gradient": 4.5},
        estimates={"spectral radius": exact(radius)},
    )


def _of_profile(profile: list[Depth]) -> Symptom:
    first, last = profile[0], profile[-1]
    flow = _log_ratio(first.gradient, last.gradient)
    signal = _log_ratio(last.signal, first.signal)
    estimates: dict[str, Estimate] = {
        "log10 gradient first to last": exact(flow, n=len(profile)),
        "log10 signal last to first": exact(signal, n=len(profile)),
        "smallest gain": exact(min(one.gain for one in profile), n=len(profile)),
        "largest gain": exact(max(one.gain for one in profile), n=len(profile)),
    }
    claim = (
        f"From the first of {len(profile)} layers with weights to the last the signal changes by 10^{signal:.1f}, "
        f"and the gradient on its way back by 10^{flow:.1f}; gains lie from {min(one.gain for one in profile):.2g} to "
        f"{max(one.gain for one in profile):.2g}."
    )
    suggests = _weights(profile, flow, signal)
    if not suggests:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    strongest = max(suggests.values())
    verdict = Verdict.FAIL if strongest >= 3 else Verdict.WARN if strongest >= 2 else Verdict.UNSURE
    odd = sorted(profile, key=lambda one: -abs(math.log(max(one.gain, 1e-9))))
    where = tuple(f"layer:{one.name}" for one in odd)
    return Symptom(name=NAME, verdict=verdict, claim=claim, where=where, suggests=suggests, estimates=estimates)


def _weights(profile: list[Depth], flow: float, signal: float) -> dict[str, float]:
    """Return the weight of evidence in a profile; a few decades either way are common in networks that learn well."""
    suggests: dict[str, float] = {}
    if len(profile) < 3 or min(one.gradient for one in profile) == 0 or min(one.signal for one in profile) == 0:
        return suggests  # no gradient or no signal at all is another fault, which `gradient-reach` and others name
    small = [one for one in profile if one.gain < 0.4]
    large = [one for one in profile if one.gain > 4]
    if flow < -2.5:
        suggests["vanishing_gradient"] = min(4.5, 1.5 * (-flow - 2.0))
        if small:
            suggests["bad_initialization"] = suggests["vanishing_gradient"] * len(small) / len(profile)
    if flow > 2.5:
        suggests["exploding_gradient"] = min(4.5, 1.5 * (flow - 2.0))
        if large:
            suggests["bad_initialization"] = suggests["exploding_gradient"]
    if signal > 2.5 and large:
        suggests["bad_initialization"] = max(suggests.get("bad_initialization", 0.0), min(4.5, 1.5 * (signal - 2.0)))
    return suggests


def _log_ratio(one: float, other: float) -> float:
    tiny = 1e-30
    return math.log10(max(one, tiny)) - math.log10(max(other, tiny))
