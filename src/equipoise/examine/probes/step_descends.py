"""`step-descends`: does a step of the training's own loop go downhill, and is it of a sensible length?"""

import math
import time
from dataclasses import dataclass

import torch

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.line import MULTIPLES, Line, Slope, dimension, joined, line_of
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample, sample_batches
from equipoise.examine.probes.setup import Batch, Running, Setup, restarted
from equipoise.examine.probes.stepping import Named, Taken, looks, take_steps

NAME = "step-descends"
_CALLS, _EARLY, _LATE, _ROWS = 30, 2, 2, 96
_RISE, _SHORT, _SURE = 0.02, 300, 2.5
_CLIPPED, _FLOOR, _BEYOND = 0.1, 1e-3, 50
_TELLING = 0.8
_SECONDS = 2.0
"""Time of the processor after which no further step is looked along."""


@probe(NAME)
def step_descends(setup: Setup) -> Symptom:
    """Take steps of the own loop and ask the loss along each, on its own samples and on others.

    The direction is judged against the gradient of the loss. The length is judged by the multiple of the step at which
    the loss on other samples is least: at the start of a sound training that is somewhere from 1 to 100. A step is too
    short where even most of that fall is far away.
    """
    state = restarted(setup)
    slope = Slope(state.network, setup.loss)
    walk = _walk(setup, state)
    if not walk.moves:
        raise InapplicableError("no parameter moved; `parameters-move` tells why")
    other = sample(setup, _ROWS, seed=99)
    chosen = walk.moves[:_EARLY] + (walk.moves[-_LATE:] if len(walk.moves) >= _EARLY + _LATE else [])
    began = time.process_time()
    lines: list[Line] = []
    for at, step, own in chosen:
        lines.append(line_of(slope, at, step, own, other))
        if time.process_time() - began > _SECONDS:
            break
    if not math.isfinite(lines[0].start):
        raise InapplicableError("the loss is not finite before the first step; see `loss-shapes`")
    lines = [one for one in lines if math.isfinite(one.start)]
    estimates = _estimates(lines)
    if _uphill(lines, walk.moves[0][1]):
        return _ascent(state, lines, estimates)
    return _length(lines, estimates, walk)


@dataclass(frozen=True, slots=True, eq=False)
class _Walk:
    """What some steps of the own loop did.

    Attributes:
        moves: Parameters before, movement and samples of each step that moved something: the first and the last ones.
        broke_after: After how many steps the loss or a parameter was no longer finite, or 0.
        kept: Length of the gradient that the optimiser found at the first move, relative to what backward passes
            brought.
        floor: The constant that the optimiser adds to its divisor, where it outweighs the gradients.
    """

    moves: list[tuple[Named, Named, Batch]]
    broke_after: int
    kept: float
    floor: float | None


def _walk(setup: Setup, state: Running) -> _Walk:
    waiting: list[Taken] = []
    moves: list[tuple[Named, Named, Batch]] = []
    kept, floor = 1.0, None
    batches = sample_batches(setup, _CALLS, size=setup.batch_size)
    for number, taken in enumerate(take_steps(setup, state, batches, _CALLS), 1):
        waiting.append(taken)
        moved = taken.moved()
        if moved:
            if not moves:
                kept, floor = _kept(waiting), _floor(state, taken)
            moves.append((taken.before, moved, joined([one.batch for one in waiting])))
            waiting = []
            if len(moves) > _EARLY + _LATE:
                del moves[_EARLY]
        if not math.isfinite(taken.loss) or not all(bool(torch.isfinite(one).all()) for one in moved.values()):
            return _Walk(moves[:-1] or moves, number, kept, floor)
    return _Walk(moves, 0, kept, floor)


def _kept(waiting: list[Taken]) -> float:
    """Return the length of the gradient at the optimiser's last look relative to what backward passes brought to it."""
    seen = list(looks(waiting))
    brought, found = seen[-1] if seen else (Named(), Named())
    names = [name for name in brought if name in found]
    whole = math.sqrt(sum(float(brought[name].double().square().sum()) for name in names))
    left = math.sqrt(sum(float(found[name].double().square().sum()) for name in names))
    return left / whole if whole > 0 else 1.0


def _floor(state: Running, taken: Taken) -> float | None:
    """Return the eps of the optimiser where it is far above every default and outweighs the gradients."""
    gradients = taken.at_steps[-1] if taken.at_steps else taken.fresh
    if not gradients:
        return None
    size = float(torch.cat([one.double().flatten() for one in gradients.values()]).square().mean().sqrt())
    floors = [float(group["eps"]) for group in state.optimizer.param_groups if "eps" in group]
    largest = max(floors, default=0.0)
    return largest if largest >= _FLOOR and largest > 10 * size else None


def _uphill(lines: list[Line], step: Named) -> bool:
    """Whether the first step points uphill, beyond what a random direction would show in so many dimensions.

    In a handful of dimensions one direction tells little, so there all steps must agree.
    """
    needed = max(0.02, 4 / math.sqrt(dimension(step)))
    if needed > _TELLING:
        return len(lines) > 1 and all(one.cosine < -_TELLING and not one.falls for one in lines)
    return lines[0].cosine < -needed and not lines[0].falls


def _ascent(state: Running, lines: list[Line], estimates: dict[str, Estimate]) -> Symptom:
    groups = state.optimizer.param_groups
    rates = [float(group["lr"]) for group in groups]
    where, cure = "loop.backward", "Send the loss backward, not its negative."
    if any(rate < 0 for rate in rates):
        where, cure = "optimizer.lr", f"The learning rate is {min(rates):g}; make it positive."
    elif any(group.get("maximize") for group in groups):
        where, cure = "optimizer.maximize", "The optimiser maximises; leave maximize=False."
    claim = (
        f"A step goes uphill: its cosine with the negative gradient is {lines[0].cosine:.2f}, and the loss goes from "
        f"{lines[0].start:.4g} to {lines[0].full:.4g}. {cure}"
    )
    suggests = {"gradient_ascent": 7.0}
    length = lines[0].size
    if length > 1:
        suggests["lr_too_high"] = min(4.0, 1.0 + math.log10(length))
    return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=(where,), suggests=suggests, estimates=estimates)


def _length(lines: list[Line], estimates: dict[str, Estimate], walk: _Walk) -> Symptom:
    best, rise = _middle([one.best for one in lines]), _middle([_rise(one) for one in lines])
    near = _middle([one.near for one in lines])
    if walk.broke_after:
        claim = (
            f"The loss was no longer finite after {walk.broke_after} steps; the loss of other samples was least at "
            f"{_times(best)} a step. Divide the learning rate by {_round(10 / best if best > 0 else math.inf)}."
        )
        suggests = {"lr_too_high": 3.5, "exploding_gradient": 2.0, "unscaled_input": 1.0, "unscaled_target": 1.0}
        return _said(Verdict.FAIL, claim, suggests, estimates)
    if rise > _RISE and best < 1:
        return _too_long(best, rise, estimates)
    if near > _SHORT:
        reach = best * _middle([one.size for one in lines])
        if best >= MULTIPLES[-1] and near > 0.5 * best and reach > _BEYOND:
            return _without_end(best, estimates)
        return _too_short(near, lines[0].cosine, estimates, walk)
    claim = (
        f"Steps go downhill (cosine with the negative gradient {lines[0].cosine:.2f}); the loss of other samples "
        f"is least at {_times(best)} a step."
    )
    return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)


def _too_long(best: float, rise: float, estimates: dict[str, Estimate]) -> Symptom:
    factor = 1 / best if best > 0 else math.inf
    claim = (
        f"A step overshoots: the loss of other samples rises by {rise:.0%} of itself, and is least at {_times(best)} a "
        f"step. Divide the learning rate by {_round(factor)}."
    )
    weight = min(5.0, 1.5 + 1.5 * math.log10(factor)) if math.isfinite(factor) else 2.0
    # A rise of a few per cent is what the noise of small batches costs.
    weight *= min(1.0, rise / 0.3)
    suggests = {"lr_too_high": weight, "unscaled_target": 0.2 * weight, "unscaled_input": 0.2 * weight}
    return _said(Verdict.FAIL if weight >= _SURE else Verdict.UNSURE, claim, suggests, estimates)


def _without_end(best: float, estimates: dict[str, Estimate]) -> Symptom:
    claim = f"The loss still falls at {best:.0e} times the step: along it, it has no least value. Check the loss."
    suggests = {"lr_too_low": 1.0, "loss_mismatch": 1.0, "gradient_ascent": 0.5}
    return _said(Verdict.UNSURE, claim, suggests, estimates)


def _too_short(near: float, cosine: float, estimates: dict[str, Estimate], walk: _Walk) -> Symptom:
    weight = min(5.0, 2.0 * math.log10(near / 100))
    began = (
        f"A step is far too short: the loss takes {near:.2g} times the step for most of its fall (cosine with the "
        f"negative gradient {cosine:.2f})."
    )
    estimates = estimates | {"gradient kept by the loop": exact(walk.kept)}
    verdict = Verdict.FAIL if weight >= _SURE else Verdict.UNSURE
    if walk.kept < _CLIPPED:
        claim = f"{began} The loop leaves {walk.kept:.1g} of the gradient's length to the optimiser. Clip less."
        where = ("loop.clip", "loop.step", "optimizer.lr")
        return _said(verdict, claim, {"lr_too_low": weight, "wrong_optimizer": 0.5}, estimates, where)
    if walk.floor is not None:
        claim = (
            f"{began} The optimiser divides by eps {walk.floor:g}, which outweighs the gradients. Set it to its "
            "default."
        )
        suggests = {"wrong_optimizer": weight, "lr_too_low": 0.8 * weight}
        return _said(verdict, claim, suggests, estimates, ("optimizer.eps", "optimizer.lr"))
    claim = f"{began} Multiply the learning rate by {_round(near / 30)}."
    return _said(verdict, claim, {"lr_too_low": weight, "unscaled_target": 0.3 * weight}, estimates)


def _rise(line: Line) -> float:
    return (line.full - line.start) / max(abs(line.start), 1e-12)


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _said(
    verdict: Verdict,
    claim: str,
    suggests: dict[str, float],
    estimates: dict[str, Estimate],
    where: tuple[str, ...] = ("optimizer.lr", "loop.step"),
) -> Symptom:
    return Symptom(name=NAME, verdict=verdict, claim=claim, where=where, suggests=suggests, estimates=estimates)


def _estimates(lines: list[Line]) -> dict[str, Estimate]:
    def of(values: list[float]) -> Estimate:
        ordered = sorted(value if math.isfinite(value) else 1e12 for value in values)
        return Estimate(
            value=_middle(ordered), low=ordered[0], high=ordered[-1], n=len(ordered), method="range of steps"
        )

    return {
        "cosine": of([one.cosine for one in lines]),
        "best multiple": of([one.best for one in lines]),
        "multiple for most of the fall": of([one.near for one in lines]),
        "best multiple of the last steps": of([one.best for one in lines[-_LATE:]]),
        "change of the loss": of([_rise(one) for one in lines]),
        "fall at the best multiple": of([1 - one.least / one.start if one.start else 0.0 for one in lines]),
        "step relative to parameters": of([one.size for one in lines]),
    }


def _times(multiple: float) -> str:
    return f"{multiple:.2g} times" if multiple > 0 else "0 times"


def _round(factor: float) -> str:
    if not math.isfinite(factor):
        return "1000 or more"
    return f"{10 ** round(math.log10(max(factor, 1.0))):.0f}"
