"""The causal model: which faults explain what the probes saw and what the runs showed, and how sure that is.

Each fault starts at long odds. A probe adds the weight of its evidence; a run that changes one choice adds or takes
away by how much of the gap to the sound recipe that choice accounts for, alone (is it enough?) and left out (is it
needed?). A fault that brings another one about takes over its odds. Only when the training is shown to be improvable,
or a probe saw the mechanism itself at work, is anything named at all.

Source:
    J. Pearl, Causality, 2009, chapters 3 and 9 (interventions; necessary and sufficient causes).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from equipoise.core.diagnosis import Cause, Symptom
from equipoise.core.estimate import Verdict
from equipoise.core.faults import FAULTS
from equipoise.examine.diagnosis.aspects import HEAD
from equipoise.examine.diagnosis.evidence import SLACK, Evidence, Tried
from equipoise.examine.diagnosis.readings import Reading, readings, share

PRIOR = -3.0
"""Log odds of a fault before anything was seen."""
NAMED = 0.0
"""Log odds from which a fault is named."""
SURE = 3.0
"""Standard errors from which a change counts as better; about 1 in 700 changes without effect goes so far."""
UNEXPLAINED = 0.5
"""Share of the reachable skill that must be missing for the likeliest fault to be named where none is likely."""
SUSPICIOUS = 3.0
"""A probe with this weight lowers what counts as clearly below."""
HEARD = 0.3
"""Weight of a streaming detector's evidence beside that of a probe."""
CERTAIN = 4.5
"""A probe with this weight saw the mechanism itself; the fault is named even where the training does well."""

MECHANICAL = frozenset(
    {
        "shape_broadcast",
        "gradient_ascent",
        "parameters_without_gradient",
        "parameters_not_updated",
        "missing_zero_grad",
        "batch_mixing",
        "train_eval_mode",
        "data_leak",
        "no_shuffle",
        "double_softmax",
        "wrong_output_activation",
        "loss_mismatch",
        "class_imbalance",
        "dead_layer",
        "wrong_labels",
        "overfitting",
    }
)
"""Faults that are wrong whatever the score says."""


@dataclass(slots=True)
class _Case:
    """What speaks for one fault."""

    odds: float = PRIOR
    seen: float = 0.0
    where: dict[str, float] = field(default_factory=dict)
    evidence: list[tuple[float, str]] = field(default_factory=list)

    def add(self, weight: float, where: Iterable[str], sentence: str, placing: float = 1.0) -> None:
        """Add the weight of one piece of evidence."""
        self.odds += weight
        for rank, place in enumerate(where):
            self.where[place] = self.where.get(place, 0.0) + placing * max(weight, 0.0) / (1 + rank)
        if weight > 0 and sentence:
            self.evidence.append((weight, sentence))


def is_sick(found: Evidence, suspicion: float = 0.0, ends: bool = False) -> bool:
    """Return whether the training ends clearly below what is shown to be in reach: a sixth of that skill is missing.

    Where a probe already saw something wrong, or a choice that looks unsound accounts for the gap, a twelfth is enough,
    or a twentieth when more than half of what is left to perfection is known to be avoidable.

    Args:
        found: What the runs showed.
        suspicion: Largest weight that a failed probe gave to a fault, in nats.
        ends: Whether output, loss and targets were seen not to go together.
    """
    if not found.own.finite:
        return True
    reach, now = reachable(found), max(0.0, found.own.skill)
    gap = reach - now
    if suspicion >= SUSPICIOUS or any(_is_unsound(one, found, reach, ends) for one in found.tried):
        avoidable = 1 - reach <= 0.45 * (1 - now)
        return gap >= (0.04 if avoidable else max(0.05, 0.08 * reach))
    return gap >= max(0.05, 0.15 * reach)


def _is_unsound(one: Tried, found: Evidence, reach: float, ends: bool) -> bool:
    """Return whether a choice that looks unsound is enough to close the gap."""
    looks = (one.doubt >= 0.8 and one.name in ("inputs", "targets", "decay", "dropout")) or (ends and one.name in HEAD)
    return looks and share(one, found, reach) >= 0.7


def reachable(found: Evidence) -> float:
    """Return the best skill that a change to this training, or nearly that a classical learner, was shown to reach."""
    return min(1.0, max(0.0, found.plain.skill, found.ceiling - SLACK, _by_changes(found)))


def _by_changes(found: Evidence) -> float:
    """Return the best skill that a change to this very training was shown to reach; 0 where none was better."""
    sure = [one.alone for one in found.tried if one.alone is not None and one.alone_z > SURE]
    return max([0.0, *sure, *([found.reference] if found.reference_z > SURE else [])])


def causes(found: Evidence | None, symptoms: Iterable[Symptom], *, raises: bool = False) -> tuple[Cause, ...]:
    """Return what is wrong, likeliest first; nothing for a healthy training.

    Args:
        found: What the runs showed; None when the training could not be run.
        symptoms: What the probes saw.
        raises: Whether the training cannot be run since it raises an exception.
    """
    symptoms = tuple(symptoms)
    failed = [one for one in symptoms if one.verdict in (Verdict.FAIL, Verdict.WARN)]
    suspicion = max((max(one.suggests.values(), default=0.0) for one in failed), default=0.0)
    ends = any(one.name == "loss-pairing" for one in failed)
    sick = raises if found is None else is_sick(found, suspicion, ends)
    cases = {fault: _Case() for fault in FAULTS}
    for symptom in symptoms:
        _weigh_symptom(cases, symptom, sick)
    if found is not None:
        for symptom in found.heard if sick else ():
            _weigh_heard(cases, symptom)
        for reading in readings(found, symptoms, reachable(found), sick):
            _weigh_reading(cases, reading)
    if not sick:
        for fault, case in cases.items():
            if fault not in MECHANICAL or case.seen < CERTAIN:
                case.odds = min(case.odds, -1.0)
    _explain_away(cases)
    named = sorted(((case.odds, fault) for fault, case in cases.items() if case.odds > NAMED), reverse=True)
    if found is not None and sick and not named and found.own.skill < (1 - UNEXPLAINED) * _by_changes(found):
        looks = {fault: one.doubt for one in found.tried for fault in one.faults}
        likeliest = max(cases, key=lambda fault: (cases[fault].odds, looks.get(fault, 0.0)))
        named = [(cases[likeliest].odds, likeliest)]
    return tuple(_cause(fault, cases[fault]) for _, fault in named)


def _weigh_symptom(cases: dict[str, _Case], symptom: Symptom, sick: bool) -> None:
    if symptom.verdict.severity < Verdict.UNSURE.severity:
        return
    for fault, weight in symptom.suggests.items():
        # An unsure probe speaks only about a training that is known to be sick.
        share = 1.0 if symptom.verdict in (Verdict.FAIL, Verdict.WARN) else 0.6 if sick else 0.0
        cases[fault].add(share * weight, symptom.where, symptom.claim)
        if symptom.verdict is Verdict.FAIL:
            cases[fault].seen = max(cases[fault].seen, weight)


def _weigh_heard(cases: dict[str, _Case], symptom: Symptom) -> None:
    """Weigh what a streaming detector heard: it names symptoms rather than causes, so less than a probe."""
    for fault, weight in symptom.suggests.items():
        cases[fault].add(HEARD * weight, symptom.where, symptom.claim)


def _weigh_reading(cases: dict[str, _Case], reading: Reading) -> None:
    for fault, weight in reading.weights.items():
        cases[fault].add(weight, reading.where, reading.sentence, reading.placing)
        cases[fault].seen = max(cases[fault].seen, weight)


def _explain_away(cases: dict[str, _Case]) -> None:
    """Lower a fault below the one that brings it about, where both are likely."""
    for fault, kind in FAULTS.items():
        upstream = max((cases[one].odds for one in kind.symptom_of), default=-math.inf)
        if upstream > NAMED and cases[fault].odds > upstream:
            cases[fault].odds = max(NAMED, upstream - 0.5)


def _cause(fault: str, case: _Case) -> Cause:
    where = max(case.where, key=lambda one: case.where[one]) if case.where else _usual_place(fault)
    evidence = tuple(dict.fromkeys(sentence for _, sentence in sorted(case.evidence, key=lambda one: -one[0])))
    return Cause(
        fault=fault,
        where=where,
        confidence=1 / (1 + math.exp(-max(-20.0, min(20.0, case.odds)))),
        evidence=evidence[:4] or ("No single choice accounts for the gap to the sound recipe.",),
        treatment=FAULTS[fault].cure,
    )


def _usual_place(fault: str) -> str:
    places = {
        "lr_too_high": "optimizer.lr",
        "lr_too_low": "optimizer.lr",
        "wrong_optimizer": "optimizer.lr",
        "too_few_epochs": "loop.epochs",
        "unscaled_input": "inputs",
        "unscaled_target": "targets",
        "wrong_labels": "targets",
        "class_imbalance": "targets",
        "data_leak": "validation",
        "no_shuffle": "loop.order",
        "over_regularised": "optimizer.weight_decay",
        "batch_size_too_small": "loop.batch_size",
        "batch_size_too_large": "loop.batch_size",
        "train_eval_mode": "loop.evaluate",
    }
    return places.get(fault, "loss")
