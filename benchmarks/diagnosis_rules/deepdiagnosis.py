"""The rules of DeepDiagnosis (Wardat et al., ICSE 2022), thresholds as published.

At the end of every epoch the layers are looked at on the first batch; the first failure ends the run and is mapped to a
fix by a decision tree.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from benchmarks.diagnosis_programs import Subject
from benchmarks.diagnosis_rules import watching
from benchmarks.diagnosis_rules.watching import EpochEnd, Loop, Seen
from benchmarks.diagnosis_rules.words import Cause, cause, verdict
from torch import Tensor

WINDOW = 5
"""Epochs over which a mean must move."""
ACCURACY_WINDOW = 20
SATURATED, SATURATED_SHARE = 5.0, 0.5
DEAD_SHARE = 0.7
RANGE_TIMES = 10.0
VANISHING = 1e-7
VARIANCE_LOW, VARIANCE_HIGH = 1e-5, 10.0
RATE, RATE_TIMES = 1e-3, 100.0
"""A learning rate is fine while rate x gradient norm / weight norm is within a hundredth and a hundredfold of 1e-3."""

RANGES = {"Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "ReLU": (0.0, float("inf")), "ELU": (-1.0, float("inf"))}


@dataclass(slots=True)
class Callback:
    """What DeepDiagnosis remembers between epochs: means of outputs, gradients and weights by layer, and the curves."""

    given: Subject
    means: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: {"forward": {}, "gradient": {}, "weights": {}}
    )
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    network: Any = None
    rates: dict[str, float] = field(default_factory=dict)

    def at_end(self, now: EpochEnd, loop: Loop) -> bool:
        """Look at an epoch, and return whether a failure was found."""
        size = self.given.batch_size
        batch = (self.given.train[0][:size], self.given.train[1][:size])
        calls = watching.forward(loop.network, batch[0])
        found = watching.gradients(self.given, loop.network, batch)
        self.network, self.rates = loop.network, relative_steps(loop, found)
        dense = [one.name for one in calls if one.kind == "Linear" and f"{one.name}.weight" in found]
        self.causes = (
            self._forward(calls, now.epoch)
            or self._curves(now, calls[-1])
            or self._backward(dense, found, calls, now.epoch)
        )
        return bool(self.causes)

    def _forward(self, calls: list[Seen], epoch: int) -> list[Cause]:
        for one, after in zip(calls, [*calls[1:], None], strict=True):
            where = f"layer:{one.name}"
            if after is None and epoch == 0 and one.kind != "Softmax" and self._out_of_range(one):
                return [self._said("out of range", where, one.kind)]
            mean = float(one.output.mean())
            if not torch.isfinite(one.output).all() or mean == 0:
                what = "zero" if mean == 0 else "not finite"
                said = self._said(f"numerical forward, {what}", where, f"mean {mean:g}")
                return [said, *self._of_numbers(one, calls)]
            if one.kind == "ReLU" and epoch == self.given.epochs - 1:
                share = float((one.output <= 0).float().mean())
                if share >= DEAD_SHARE:
                    return [self._said("dead node", where, f"{share:.0%} at most 0"), *self._fix()]
            if after is not None and after.kind in ("Sigmoid", "Tanh") and (epoch + 1) % WINDOW == 0:
                share = float((one.output.abs() >= SATURATED).float().mean())
                if share > SATURATED_SHARE:
                    return [self._said("saturated activation", f"layer:{after.name}", f"{share:.0%}"), *self._fix()]
        for one in calls[:-1]:
            if one.kind != "Flatten" and self._unchanged("forward", one.name, float(one.output.mean()), epoch):
                return [self._said("unchanged forward", f"layer:{one.name}", "five epochs"), *self._fix()]
        return []

    def _out_of_range(self, last: Seen) -> bool:
        name, targets = self.given.loss_name, self.given.train[1].float()
        if last.kind in ("ReLU", "Linear", "Identity") and "categorical" in name:
            return True
        low, high = RANGES.get(last.kind, (-float("inf"), float("inf")))
        if last.kind in ("Linear", "Identity"):
            span = float(last.output.max() - last.output.min())
            if span > RANGE_TIMES * float(targets.max() - targets.min()):
                return True
        return float(targets.min()) < low or float(targets.max()) > high

    def _curves(self, now: EpochEnd, last: Seen) -> list[Cause]:
        self.losses.append(now.loss)
        if not torch.isfinite(torch.tensor(now.loss)):
            return [self._said("invalid loss", "loss", f"{now.loss}"), *self._of_invalid(last)]
        if (now.epoch + 1) % WINDOW == 0 and _constant(self.losses[-WINDOW:]):
            return [self._said("loss not decreasing", "", "five epochs"), *self._fix()]
        if not watching.classifies(self.given.train[1]):
            return []
        self.scores.append(now.accuracy)
        if now.accuracy == 0 or now.accuracy != now.accuracy:
            return [self._said("invalid accuracy", "", f"{now.accuracy}"), *self._of_invalid(last)]
        if (now.epoch + 1) % ACCURACY_WINDOW == 0 and _constant(self.scores[-ACCURACY_WINDOW:]):
            return [self._said("accuracy not increasing", "", "twenty epochs"), *self._fix()]
        return []

    def _backward(self, dense: list[str], found: dict[str, Tensor], calls: list[Seen], epoch: int) -> list[Cause]:
        weights = dict(self.network.named_parameters())
        for name in reversed(dense):
            where, value = f"layer:{name}", found[f"{name}.weight"]
            mean, weight = float(value.mean()), float(weights[f"{name}.weight"].detach().mean())
            if mean != mean or abs(mean) == float("inf") or mean == 0:
                what = "zero" if mean == 0 else "not finite"
                said = self._said(f"numerical gradient, {what}", where, f"mean {mean:g}")
                return [said, *self._of_gradients(name, dense, calls)]
            if float(value.abs().mean()) < VANISHING:
                said = self._said("vanishing gradient", where, f"mean size {float(value.abs().mean()):.2g}")
                return [said, *(self._of_rates() or [self._said("fix: hidden activation", where, "")])]
            if weight != weight or abs(weight) == float("inf") or weight == 0:
                what = "zero" if weight == 0 else "not finite"
                return [self._said(f"numerical weights, {what}", where, f"mean {weight:g}"), *self._fix()]
        for name in reversed(dense):
            for kind, value in (("gradient", found), ("weights", weights)):
                if self._unchanged(kind, name, float(value[f"{name}.weight"].detach().mean()), epoch):
                    return [self._said(f"unchanged {kind}", f"layer:{name}", "five epochs"), *self._fix()]
        return []

    def _unchanged(self, kind: str, name: str, mean: float, epoch: int) -> bool:
        series = self.means[kind].setdefault(name, [])
        series.append(mean)
        return (epoch + 1) % WINDOW == 0 and _constant(series[-WINDOW:])

    # ------------------------------------------------------------------ from failure to fix
    def _said(self, symptom: str, where: str, evidence: str) -> Cause:
        return cause("deepdiagnosis", symptom, where, evidence)

    def _of_weights(self) -> list[Cause]:
        for name, value in self.network.named_parameters():
            variance = float(value.detach().var()) if value.dim() > 1 and value.numel() > 1 else float("nan")
            if variance < VARIANCE_LOW or variance > VARIANCE_HIGH:
                return [self._said("fix: poor weight", watching.layer_of(name), f"variance {variance:.2g}")]
        return []

    def _of_inputs(self) -> list[Cause]:
        inputs = self.given.train[0]
        low, high = float(inputs.min()), float(inputs.max())
        if low >= -1 and high <= 1:
            return []
        return [self._said("fix: normalise the data", "inputs", f"{low:.3g} to {high:.3g}")]

    def _of_rates(self) -> list[Cause]:
        for name, step in self.rates.items():
            if step > RATE * RATE_TIMES:
                return [self._said("fix: learning rate, high", "optimizer.lr", f"{step:.2g} in {name}")]
            if step < RATE / RATE_TIMES:
                return [self._said("fix: learning rate, low", "optimizer.lr", f"{step:.2g} in {name}")]
        return []

    def _fix(self) -> list[Cause]:
        last = [self._said("fix: optimizer", "", "")]
        return self._of_weights() or self._of_inputs() or self._of_rates() or last

    def _of_numbers(self, one: Seen, calls: list[Seen]) -> list[Cause]:
        return self._of_weights() or self._of_inputs() or self._of_rates() or [self._activation_after(one.name, calls)]

    def _of_invalid(self, last: Seen) -> list[Cause]:
        if last.kind in ("Linear", "Identity"):
            return [self._said("fix: last activation", f"layer:{last.name}", last.kind)]
        return self._of_rates() or [self._said("fix: optimizer", "", "")]

    def _of_gradients(self, name: str, dense: list[str], calls: list[Seen]) -> list[Cause]:
        after = self._activation_after(name, calls)
        return [self._said("fix: loss", "loss", ""), after] if name == dense[-1] else [after]

    def _activation_after(self, name: str, calls: list[Seen]) -> Cause:
        names = [one.name for one in calls]
        after = min(names.index(name) + 1, len(names) - 1)
        which = "last" if after == len(names) - 1 else "hidden"
        return self._said(f"fix: {which} activation", f"layer:{names[after]}", calls[after].kind)


def _constant(values: list[float]) -> bool:
    """Return whether mean and maximum agree; the original compares them exactly, rounding of the mean aside."""
    most = max(values)
    return all(one == most for one in values)


def relative_steps(loop: Loop, found: dict[str, Tensor]) -> dict[str, float]:
    """Return learning rate x gradient norm / weight norm by parameter, weights only."""
    named, step = dict(loop.network.named_parameters()), watching.rate(loop.optimizer)
    return {
        name: step * float(value.norm()) / max(float(named[name].detach().norm()), 1e-30)
        for name, value in found.items()
        if value.dim() > 1
    }


def judge(given: Subject) -> dict[str, Any]:
    """Return what DeepDiagnosis finds in a training."""
    callback = Callback(given)
    watching.train(given, callback.at_end)
    return verdict(callback.causes)
