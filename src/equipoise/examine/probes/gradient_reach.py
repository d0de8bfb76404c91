"""`gradient-reach`: does every trainable parameter receive a finite gradient?"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.anatomy import listening, parts
from equipoise.examine.probes.optimizers import held
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample_batches
from equipoise.examine.probes.setup import Batch, Running, Setup, plain_step, running

NAME = "gradient-reach"
_BATCHES, _STEPS = 4, 6


@probe(NAME)
def gradient_reach(setup: Setup) -> Symptom:
    """Send the loss of several batches backward and see whom it reaches.

    A parameter outside the graph has no gradient at all. One whose gradient is exactly 0 on all batches gets a few
    steps of a plain loop first, since zero weights further up are a sound way to begin. Leaves of the graph that are no
    parameter of the network are layers that were never registered, or parameters made anew in every forward pass.
    """
    state = running(setup)
    batches = sample_batches(setup, _BATCHES)
    leaves = _unregistered(setup, state, batches)
    if leaves is not None:
        return leaves
    trained = [(name, one) for name, one in state.network.named_parameters() if one.requires_grad]
    if not trained:
        if any(True for _ in state.network.parameters()):
            claim = "All parameters are frozen: requires_grad is False. Set it on those to be trained."
            return _failed(claim, ("optimizer.params",), {"parameters_without_gradient": 6.0})
        raise InapplicableError("the network has no parameters")
    reached = _reach(setup, state, batches)
    if reached.not_finite:
        claim = f"{_listed(reached.not_finite)} got gradients that are not finite in {_BATCHES} batches."
        where = tuple(_place(name) for name in reached.not_finite)
        return _failed(claim, where, {"exploding_gradient": 2.0, "loss_mismatch": 1.0, "unscaled_input": 1.0})
    if reached.outside:
        return _outside(reached, len(trained))
    if reached.zero:
        reached = _after_steps(setup, state, batches, reached)
    if reached.zero:
        return _zero(reached, state.network, len(trained))
    counted = exact(1.0, n=len(trained))
    claim = f"All {len(trained)} trainable parameters received a finite gradient within {_BATCHES} batches."
    return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates={"share reached": counted})


@dataclass(frozen=True, slots=True)
class _Reach:
    """Names of parameters: without a gradient, with one of 0 on all batches, with one that is not finite."""

    outside: list[str]
    zero: list[str]
    not_finite: list[str]
    unused: list[str]


def _reach(setup: Setup, state: Running, batches: list[Batch]) -> _Reach:
    network = state.network
    trained = [(name, one) for name, one in network.named_parameters() if one.requires_grad]
    present: set[str] = set()
    alive: set[str] = set()
    broken: set[str] = set()
    ran: set[str] = set()
    with listening(parts(network), lambda call: ran.add(call.name)):
        for inputs, targets in batches:
            network.zero_grad(set_to_none=True)
            setup.loss(network(inputs), targets).backward()
            for name, one in trained:
                if one.grad is None:
                    continue
                present.add(name)
                if not bool(torch.isfinite(one.grad).all()):
                    broken.add(name)
                elif bool(one.grad.any()):
                    alive.add(name)
    network.zero_grad(set_to_none=True)
    names = [name for name, _ in trained]
    return _Reach(
        outside=[name for name in names if name not in present],
        zero=[name for name in names if name in present and name not in alive and name not in broken],
        not_finite=[name for name in names if name in broken],
        unused=[name for name in names if name not in present and name.rpartition(".")[0] not in ran],
    )


def _after_steps(setup: Setup, state: Running, batches: list[Batch], before: _Reach) -> _Reach:
    """Look again after a few plain steps: zero weights at the end of a block are a sound way to begin."""
    optimizer = torch.optim.Adam([one for one in state.network.parameters() if one.requires_grad], lr=1e-3)
    for step in range(_STEPS):
        plain_step(setup.loss, state.network, optimizer, batches[step % len(batches)])
    after = _reach(setup, state, batches)
    still = [name for name in after.zero if name in before.zero]
    return _Reach(after.outside, still, after.not_finite, after.unused)


def _outside(reached: _Reach, many: int) -> Symptom:
    used = [name for name in reached.outside if name not in reached.unused]
    if not used:
        claim = f"{_listed(reached.unused)} take no part in the forward pass, so no gradient reaches them."
        where = tuple(dict.fromkeys(_place(name) for name in reached.unused))
        weights = {"parameters_without_gradient": 1.0}
        return Symptom(name=NAME, verdict=Verdict.UNSURE, claim=claim, where=where, suggests=weights)
    share = exact(1 - len(reached.outside) / many, n=many)
    claim = (
        f"No gradient reaches {_listed(used)}, though their layers take part in the forward pass: the graph is "
        "cut behind them. Remove detach(), no_grad() and conversions to numpy."
    )
    where = (*dict.fromkeys(_place(name) for name in used), "loop.forward")
    return _failed(claim, where, {"parameters_without_gradient": 7.0}, share)


def _zero(reached: _Reach, network: nn.Module, many: int) -> Symptom:
    weights = [name for name in reached.zero if network.get_parameter(name).dim() > 1]
    share = exact(1 - len(reached.zero) / many, n=many)
    where = tuple(dict.fromkeys(_place(name) for name in reached.zero))
    claim = f"{_listed(reached.zero)} got a gradient of exactly 0 in all {_BATCHES} batches, also after {_STEPS} steps."
    if not weights:
        claim += " A constant added before a normalisation or a softmax is redundant, and harmless."
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, where=where, estimates={"share reached": share})
    faults = {"dead_layer": 1.5, "dying_relu": 1.5, "bad_initialization": 1.5, "wrong_output_activation": 1.0}
    faults["parameters_without_gradient"] = 0.5
    return _failed(claim, where, faults, share)


def _unregistered(setup: Setup, state: Running, batches: list[Batch]) -> Symptom | None:
    """Return a symptom when the loss depends on leaves that are no parameters of the network."""
    known = {id(one) for one in state.network.parameters()} | held(state.optimizer)
    found: list[list[Tensor]] = []
    for inputs, targets in batches[:2]:
        loss = setup.loss(state.network(inputs), targets)
        found.append([one for one in _leaves(loss) if id(one) not in known])
    if not found[0]:
        return None
    numbers = sum(one.numel() for one in found[0])
    kept = {id(one) for one in found[0]} & {id(one) for one in found[1]}
    if not kept:
        claim = (
            f"{len(found[0])} tensors ({numbers} numbers) that need a gradient are made anew in every forward pass, so "
            "nothing they learn is kept. Make them once, as nn.Parameter or layers in __init__."
        )
        faults = {"parameters_without_gradient": 6.0, "parameters_not_updated": 3.0}
        return _failed(claim, ("loop.forward",), faults)
    holders = _holders(state.network, kept)
    claim = (
        f"{len(found[0])} tensors ({numbers} numbers) take part in the forward pass but are no parameters of the "
        f"network{' (in ' + ', '.join(holders) + ')' if holders else ''}, so the optimiser never sees them. "
        "Register the layers, for example in nn.ModuleList."
    )
    where = (*(f"layer:{one}" for one in holders), "optimizer.params")
    return _failed(claim, where, {"parameters_without_gradient": 7.0, "parameters_not_updated": 3.0})


def _leaves(loss: Tensor) -> list[Tensor]:
    """Return the leaves of a graph that collect gradients."""
    seen: set[object] = set()
    waiting = [loss.grad_fn]
    leaves: list[Tensor] = []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, Tensor):
            leaves.append(leaf)
        waiting.extend(following for following, _ in node.next_functions)
    return leaves


def _holders(network: nn.Module, wanted: set[int]) -> list[str]:
    """Return the attribute paths of plain containers, or objects, that hold some tensors."""
    found: list[str] = []
    for name, module in network.named_modules():
        for attribute, value in vars(module).items():
            if attribute.startswith("_"):
                continue
            if any(id(one) in wanted for one in _tensors(value)):
                found.append(f"{name}.{attribute}" if name else attribute)
    return found


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, nn.Module):
        return list(value.parameters())
    if isinstance(value, dict):
        return [one for inner in value.values() for one in _tensors(inner)]
    if isinstance(value, (list, tuple)):
        return [one for inner in value for one in _tensors(inner)]
    return []


def _place(parameter: str) -> str:
    return f"layer:{parameter.rpartition('.')[0] or parameter}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def _failed(claim: str, where: tuple[str, ...], suggests: dict[str, float], share: Estimate | None = None) -> Symptom:
    estimates = {"share reached": share} if share is not None else {}
    return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=where, suggests=suggests, estimates=estimates)
