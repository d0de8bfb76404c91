"""The ten heuristics of UMLAUT (Schoop et al., CHI 2021), thresholds as published.

Two look at the network before training, the others at every epoch's end. Each says what it saw the first time only.
"""

from typing import Any

import torch
from benchmarks.diagnosis_programs import Subject
from benchmarks.diagnosis_rules import watching
from benchmarks.diagnosis_rules.watching import ACTIVATIONS, EpochEnd, Loop, Seen
from benchmarks.diagnosis_rules.words import Cause, cause, verdict

BOUND = 1.0
RATE_HIGH, RATE_LOW = 0.01, 1e-7
DROPOUT = 0.5
HIGH_ACCURACY, ABOVE_TRAINING = 0.95, 0.05
FIRST_EPOCH = 3
"""Validation accuracy is a bit random before."""


def found(symptom: str, where: str, evidence: str) -> Cause:
    """Return one of UMLAUT's errors."""
    return cause("umlaut", symptom, where, evidence)


def before_training(given: Subject, calls: list[Seen]) -> list[Cause]:
    """Return what the network's layers and its loss say: the last activation, missing ones, dropout."""
    errors = []
    last = calls[-1]
    if watching.takes_logits(given.loss_name):
        if last.kind in ACTIVATIONS:
            errors.append(found("last layer has activation", f"layer:{last.name}", last.kind))
    elif last.kind != "Softmax":
        errors.append(found("no softmax before loss", f"layer:{last.name}", f"the last layer is {last.kind}"))
    errors += [found("missing activation", f"layer:{one}", "linear") for one in linear_before_linear(calls)]
    errors += [
        found("dropout high", f"layer:{one.name}", f"p = {one.module.p}")
        for one in calls
        if "Dropout" in one.kind and float(one.module.p) > DROPOUT
    ]
    return errors


def linear_before_linear(calls: list[Seen]) -> list[str]:
    """Return layers with weights whose output reaches the next such layer through no activation.

    A reshaping, pooling, dropout or identity hands the values on; a layer that got other values than the one before put
    out was given something that the network's own code made of them, an activation perhaps, and is left alone.
    """
    missing, carried = [], None
    for before, one in zip([None, *calls], calls, strict=False):
        if before is not None and carried is not None and not _same_values(before.output, one.given):
            carried = None
        if one.kind in ACTIVATIONS or "Norm" in one.kind:
            carried = None
        elif any(value.dim() > 1 for value in one.module.parameters(recurse=False)):
            if carried is not None:
                missing.append(carried)
            carried = one.name
    return missing


def _same_values(put: torch.Tensor, got: torch.Tensor) -> bool:
    return put.numel() == got.numel() and bool(torch.equal(put.flatten(), got.detach().flatten()))


def of_inputs(given: Subject) -> list[Cause]:
    """Return what the inputs say: range, type, shape."""
    inputs = given.train[0]
    errors = []
    if float(inputs.min()) < -BOUND or float(inputs.max()) > BOUND:
        seen = f"{float(inputs.min()):.3g} to {float(inputs.max()):.3g}"
        errors.append(found("input not normalised", "inputs", seen))
    if not inputs.is_floating_point():
        errors.append(found("input not floating", "inputs", str(inputs.dtype)))
    if inputs.dim() == 4 and inputs.shape[2] != inputs.shape[3]:
        errors.append(found("input shape", "inputs", f"{tuple(inputs.shape)}"))
    return errors


def of_epoch(now: EpochEnd, before: EpochEnd | None, loop: Loop, given: Subject) -> list[Cause]:
    """Return what an epoch says: not a number, learning rate, overfitting, too good a validation accuracy."""
    errors = []
    if now.loss != now.loss and bool(torch.isnan(given.train[0].double()).any()):
        errors.append(found("nan in input", "inputs", f"epoch {now.epoch + 1}"))
    step = watching.rate(loop.optimizer)
    if step > RATE_HIGH:
        errors.append(found("learning rate high", "optimizer.lr", f"{step:g}"))
    elif step < RATE_LOW:
        errors.append(found("learning rate low", "optimizer.lr", f"{step:g}"))
    if given.validation is None:
        return errors
    if before is not None and now.validation_loss > before.validation_loss and now.loss <= before.loss:
        errors.append(found("overfitting", "", f"epoch {now.epoch + 1}"))
    if now.epoch >= FIRST_EPOCH and watching.classifies(given.train[1]):
        score = now.validation_accuracy
        if score > HIGH_ACCURACY or score > now.accuracy + ABOVE_TRAINING:
            errors.append(found("validation accuracy high", "validation", f"{score:.3f} in epoch {now.epoch + 1}"))
    return errors


def judge(given: Subject) -> dict[str, Any]:
    """Return what UMLAUT finds in a training."""
    errors = before_training(given, watching.forward(given.network, given.train[0][: given.batch_size]))
    errors += of_inputs(given)
    raised: set[str] = set()
    last: list[EpochEnd | None] = [None]

    def at_end(now: EpochEnd, loop: Loop) -> bool:
        for error in of_epoch(now, last[0], loop, given):
            name = error["evidence"][0].partition(":")[0]
            if name not in raised:
                raised.add(name)
                errors.append(error)
        last[0] = now
        return False

    watching.train(given, at_end)
    return verdict(errors)
