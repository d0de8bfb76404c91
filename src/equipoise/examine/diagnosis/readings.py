"""What the runs of a diagnosis say about faults: each reading is one sentence with the weight of its evidence."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.examine.diagnosis.aspects import HEAD
from equipoise.examine.diagnosis.evidence import Course, Evidence, Tried

FULL = 6.0
"""Nats for a choice that accounts for the whole gap."""
NONE = -1.5
"""Nats for a choice that accounts for none of it."""
HALF = 0.5
UNTOLD = {
    "head": {"wrong_output_activation": 0.5, "loss_mismatch": 0.6},
    "output-activation": {"wrong_output_activation": 0.5},
    "loss": {"loss_mismatch": 0.5},
}
"""What the ends of a training are blamed for where the probe of their pairing saw nothing wrong."""
FEW_STEPS = 150
SHORT = 6
"""Epochs up to which a training counts as short."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One piece of evidence.

    Attributes:
        weights: Faults with the weight of the evidence in nats; negative where it speaks against.
        where: Places it concerns.
        sentence: What was seen, with its numbers.
        placing: How much it counts for the place, against other evidence of the same weight.
    """

    weights: dict[str, float]
    where: tuple[str, ...]
    sentence: str
    placing: float = 1.0


def readings(found: Evidence, symptoms: Iterable[Symptom], reach: float, sick: bool) -> tuple[Reading, ...]:
    """Return everything that the runs say.

    Args:
        found: What the runs showed.
        symptoms: What the probes saw.
        reach: The best skill that was shown to be in reach.
        sick: Whether the training ends clearly below it.
    """
    by_name = {one.name: one for one in symptoms}
    made = [*_evaluation(found), *_loop(found, reach), *_sign(found)]
    if sick:
        made += [*_choices(found, by_name, reach), *_rates(found, reach), *_units(found, reach), *_ends(found)]
    made += [*_overfitting(found), *_imbalance(found)]
    return tuple(made)


def share(tried: Tried, found: Evidence, reach: float) -> float:
    """Return which share of the gap one choice accounts for, in [0, 1]: alone, and as a part of the sound recipe."""
    base = max(-1.0, found.base)
    gap = max(reach - base, 0.05)
    alone = (max(-1.0, tried.alone) - base) / gap if tried.alone is not None and tried.alone_z > 2 else 0.0
    alone = min(1.0, max(0.0, alone))
    if tried.without is None:
        return 0.85 * alone
    needed = min(1.0, max(0.0, (found.reference - max(-1.0, tried.without)) / gap))
    return 0.7 * max(alone, needed) + 0.3 * min(alone, needed)


def _weight(part: float) -> float:
    """Return nats for a share of the gap: for above a fifth of it, against below."""
    return NONE + (FULL - NONE) * part if part >= 0.2 else NONE * (1 - part / 0.2)


def _sentence(one: Tried, found: Evidence) -> str:
    said = f"With {one.name.replace('-', ' ')} made sound alone, skill goes from {found.base:.2f} to "
    said += f"{one.alone:.2f}" if one.alone is not None else "an unknown value"
    if one.without is not None:
        said += f"; the sound recipe without it reaches {one.without:.2f} of {found.reference:.2f}"
    return said + "."


def _choices(found: Evidence, by_name: dict[str, Symptom], reach: float) -> Iterator[Reading]:
    pairing = by_name.get("loss-pairing")
    told = dict(pairing.suggests) if pairing is not None and pairing.verdict is not Verdict.PASS else {}
    for one in found.tried:
        if one.name in ("optimizer", "rate-up", "rate-down", "class-weights"):
            continue
        weight = _weight(share(one, found, reach))
        if weight > 0:
            weight += 2.0 * (one.doubt - 0.4)
            if one.name == "epochs":
                weight *= _shortness(found.own) * (1 - 0.5 * _specific(found, reach))
            if one.name in ("width", "weights", "squashing"):
                weight *= 0.8  # a new draw of the weights comes along with them
        faults = _squashed(found) if one.name == "squashing" else one.faults
        if one.name in HEAD:  # the probe of the pairing says what it is; this run, that it matters
            most = max(told.values(), default=1.0)
            faults = {fault: max(0.25, told.get(fault, 0.0) / most) for fault in faults} if told else UNTOLD[one.name]
        if weight <= 0 and one.name in HEAD[1:]:
            continue  # the head as a whole has spoken against it
        weights = {fault: weight * part if weight > 0 else weight for fault, part in faults.items()}
        if weight <= 0:  # what a probe saw for itself is not unseen because something else matters more
            weights = {fault: value for fault, value in weights.items() if fault not in told}
        yield Reading(weights, (one.where,), _sentence(one, found))


def _squashed(found: Evidence) -> dict[str, float]:
    """Return what squashing units do: sit at their asymptotes, or only pass too little gradient on."""
    saturated = min(1.0, 2 * max(found.own.saturated[0], found.at_birth[1][0]))
    return {"vanishing_gradient": 1.0 - 0.3 * saturated, "saturated_activation": 0.6 + 0.4 * saturated}


def _specific(found: Evidence, reach: float) -> float:
    """Return the largest share of the gap that a choice with a mechanism of its own accounts for.

    More steps, larger steps and another optimiser help almost any training a little; they are blamed for what is left.
    """
    own = (*HEAD, "inputs", "targets", "decay", "dropout", "hidden-activation")
    blamed = [one for one in found.tried if one.name in own or (one.name == "batch" and one.doubt >= 0.8)]
    return max((share(one, found, reach) for one in blamed), default=0.0)


def _shortness(own: Course) -> float:
    """Return how short a training is: 1 for a few dozen steps or epochs, 0.3 for a long one."""
    if own.steps <= FEW_STEPS or own.epochs <= SHORT:
        return 1.0
    return 0.6 if own.epochs <= 2 * SHORT else 0.3


def _sign(found: Evidence) -> Iterator[Reading]:
    if found.rate < 0:
        size = {"lr_too_high": 3.5} if found.rate < -1 else {}
        said = f"The learning rate is {found.rate:.3g}: every step goes up the gradient."
        yield Reading({"gradient_ascent": 8.0} | size, ("optimizer.lr",), said)


def _rates(found: Evidence, reach: float) -> Iterator[Reading]:
    parts = {one.name: share(one, found, reach) for one in found.tried}
    named = {one.name: one for one in found.tried}
    up, down, other = (parts.get(name, 0.0) for name in ("rate-up", "rate-down", "optimizer"))
    own = found.own
    slow = own.finite and not math.isnan(own.update) and own.update < 3e-4 and own.dead[0] < 0.9
    fast = not own.finite or own.update > 0.05 or (own.dead[0] > 0.9 and found.at_birth[0][0] < 0.9)
    if found.rate <= 0:
        return
    low, high = _weight(up), _weight(down)
    if other > max(up, down):  # Adam at its usual rate helps: which way was the rate wrong?
        low, high = (max(low, 0.8 * _weight(other)), high) if slow else (low, high)
        high = max(high, 0.7 * _weight(other)) if fast else high
    low += 1.0 if slow and low > 0 else 0.0
    high += 1.0 if fast and high > 0 else 0.0
    rest = 1 - 0.4 * _specific(found, reach)
    low, high = (rest * one if one > 0 else one for one in (low, high))
    # A median over the training says nothing against a step that was too long at first, so it is told where it agrees.
    what = f" A step moves the weights by {own.update:.1e} of their size in the median."
    if "rate-up" in named:
        field = named["optimizer"].where if "optimizer" in named else "optimizer.lr"
        yield Reading({"lr_too_low": low}, (field,), _sentence(named["rate-up"], found) + (what if slow else ""))
    if "rate-down" in named:
        said = _sentence(named["rate-down"], found) + (what if own.update > 0.05 else "")
        yield Reading({"lr_too_high": high}, ("optimizer.lr",), said)
    if "optimizer" in named:
        one = named["optimizer"]
        unusual = one.where != "optimizer.lr"
        weight = rest * _weight(max(0.0, other - 0.8 * max(up, down)) if not unusual else other)
        yield Reading({"wrong_optimizer": weight}, (one.where,), _sentence(one, found))


def _units(found: Evidence, reach: float) -> Iterator[Reading]:
    own, (dead, _, constant) = found.own, found.at_birth
    if own.dead[0] >= HALF:
        at_birth = dead[0] >= HALF
        weights = {"dying_relu": 2.0 + 3.0 * (own.dead[0] - HALF)}
        weights |= {"bad_initialization": 1.5} if at_birth else {"lr_too_high": 1.5}
        yield Reading(
            weights,
            (f"layer:{own.dead[1]}",),
            f"{own.dead[0]:.0%} of the units are silent on every sample at the end, {dead[0]:.0%} at the start.",
        )
    if own.saturated[0] >= HALF:
        yield Reading(
            {"saturated_activation": 2.0 + 3.0 * (own.saturated[0] - HALF)},
            (f"layer:{own.saturated[1]}",),
            f"{own.saturated[0]:.0%} of the values lie at an asymptote of their activation at the end.",
        )
    if constant[0] >= 0.99 and dead[0] >= 0.99:
        # New weights wake units that the old ones had put to sleep, but not a layer that cannot answer.
        revived = max((share(one, found, reach) for one in found.tried if one.name == "weights"), default=0.0)
        yield Reading(
            {"dead_layer": 2.0 if revived > 0.3 else 6.0},
            (f"layer:{constant[1]}",),
            "A layer puts out the same for every sample before the first step.",
        )


def _ends(found: Evidence) -> Iterator[Reading]:
    own = found.own
    if not own.finite:
        weights = next((one for one in found.tried if one.name == "weights" and one.doubt >= HALF), None)
        yield Reading(
            {"exploding_gradient": 3.0, "unscaled_input": 0.5, "unscaled_target": 0.5}
            | ({"bad_initialization": 2.0} if weights else {"lr_too_high": 2.0}),
            (weights.where if weights else "optimizer.lr",),
            "The loss became infinite or not a number.",
        )
    elif own.jumps > 0.3:
        yield Reading(
            {"oscillating_loss": 2.0 + min(2.0, own.jumps)},
            ("optimizer.lr",),
            f"Losses of the last quarter scatter by {own.jumps:.0%} of the first loss.",
        )
    if found.learnable < 0.1 and found.ceiling < 0.1:
        yield Reading(
            {"wrong_labels": 2.0},
            ("targets",),
            f"Classical learners reach a skill of {found.ceiling:.2f} here.",
        )


def _evaluation(found: Evidence) -> Iterator[Reading]:
    lost = found.own_plainly - found.own.skill
    if lost > 0.05:
        yield Reading(
            {"train_eval_mode": 2.0 + 20 * min(0.3, lost)},
            ("loop.evaluate",),
            f"The own evaluation sees a skill of {found.own.skill:.2f}, evaluation mode {found.own_plainly:.2f}.",
        )


def _loop(found: Evidence, reach: float) -> Iterator[Reading]:
    gain = found.plain.skill - found.own_plainly
    if found.is_plain or gain < 0.1:
        return
    part = min(1.0, gain / max(0.05, reach - max(-1.0, found.own_plainly)))
    said = f"A plain loop reaches a skill of {found.plain.skill:.2f}, the own loop {found.own_plainly:.2f}"
    said += f"; a step of the own loop moves the weights {found.movement:.1e} times as far as a plain one."
    later = found.own.update / found.plain.update if found.plain.update > 0 else 1.0
    if 0 < found.movement < 0.1:
        # The optimiser is the same in both loops: it is not its rate.
        yield Reading({"lr_too_low": 5.0 * part, "parameters_not_updated": 1.0}, ("loop.clip", "loop.step"), said, 3.0)
    elif found.movement > 0.5 and later < 0.1:
        said += f" Over the whole training its steps are {later:.1e} times as large: the rate falls too soon."
        yield Reading({"lr_too_low": 5.0 * part}, ("optimizer.lr",), said)
    elif found.movement == 0:
        yield Reading({"parameters_not_updated": 4.0 * part}, (), said)
    else:
        yield Reading(
            {"parameters_not_updated": 1.5 * part, "missing_zero_grad": 1.0 * part, "gradient_ascent": 0.5},
            ("loop.step",),
            said,
        )


def _overfitting(found: Evidence) -> Iterator[Reading]:
    own = found.own
    gap = own.train - own.skill
    # Learned by heart, worse on others than it was, and the loss there has grown by half.
    if gap > 0.3 and own.train > 0.9 and own.loss_rise > 0.5:
        yield Reading(
            {"overfitting": 2.0 + 4.0 * min(1.0, gap) + min(2.0, own.loss_rise)},
            ("loop.epochs",),
            f"Skill is {own.train:.2f} on the training rows and {own.skill:.2f} on others, whose loss rose again by "
            f"{own.loss_rise:.0%} of where it began.",
        )


def _imbalance(found: Evidence) -> Iterator[Reading]:
    for one in found.tried:
        if one.name != "class-weights" or one.alone is None:
            continue
        rise = one.alone_balanced - found.own.balanced
        if rise > 0.2 and found.own.balanced < 0.75:
            yield Reading(
                {"class_imbalance": 4.0 + 5.0 * min(0.5, rise)},
                ("targets",),
                f"Mean recall over the classes is {found.own.balanced:.2f}, and {one.alone_balanced:.2f} when every "
                "class weighs alike.",
            )
