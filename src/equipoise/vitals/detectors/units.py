"""Units that are silent or saturated on every sample."""

import math
from dataclasses import dataclass

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Line, Verdict, judge
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.reading import Reading
from equipoise.vitals.detectors.sequential import Spending, share
from equipoise.vitals.window import Layer, Window

BOUNDED = frozenset({"sigmoid", "tanh", "hardtanh", "hardsigmoid", "softsign"})
"""Activations that pass no gradient near their asymptotes."""
RECTIFIERS = frozenset({"relu", "relu6", "threshold", "hardswish", "hardshrink", "softshrink"})
"""Activations that put out an exact zero, and pass no gradient, where they are silent."""
FEWEST_STEPS = 16


@dataclass(slots=True, eq=False)
class _Stretch:
    """What was counted of one layer since it was last judged."""

    fired: np.ndarray
    seen: int = 0
    steps: int = 0


class _Counter:
    """Counts, layer by layer, until a unit's silence means something; then a new stretch begins."""

    def __init__(self, activations: frozenset[str], rarely: float) -> None:
        self._activations = activations
        self._rarely = rarely
        self._stretches: dict[str, _Stretch] = {}
        self._spending: dict[str, Spending] = {}

    def ready(self, window: Window, candidates: list[int]) -> list[tuple[Layer, _Stretch, float]]:
        """Return every layer that was seen often enough, with its counts and the error rate of this look at it."""
        out = []
        alpha = ALPHA / max(1, len(candidates))
        for k in candidates:
            layer = window.layers[k]
            if layer.activation not in self._activations or not len(window.fired[k]):
                continue
            held = self._stretches.get(layer.name)
            if held is None or len(held.fired) != len(window.fired[k]):
                held = self._stretches[layer.name] = _Stretch(np.zeros(len(window.fired[k]), dtype=np.int64))
            held.fired = held.fired + window.fired[k]
            held.seen += int(window.seen[k])
            held.steps += len(window.steps)
            # A unit that fires with probability p is silent on n samples with probability (1 - p)^n.
            needed = math.log(alpha / len(held.fired)) / math.log1p(-self._rarely)
            if held.seen >= needed and held.steps >= FEWEST_STEPS:
                spending = self._spending.setdefault(layer.name, Spending(alpha))
                out.append((layer, held, spending.look()))
                del self._stretches[layer.name]
        return out


def hidden(window: Window) -> list[int]:
    """Return the layers (indices) after which another layer with weights comes: all but what the network puts out."""
    owners = {one.layer for one in window.weights}
    carrying = [k for k, layer in enumerate(window.layers) if layer.name in owners]
    return list(range(carrying[-1])) if carrying else []


class DeadUnits:
    """Most units of a rectified layer were silent on every sample, or all of them.

    A unit counts as dead when it did not fire once on n values, n so large that a unit firing on 1 % of them would
    have been silent with probability under 5e-4 / (layers x units). Hypothesis for a layer: a unit dies with
    probability at most 0.6. Test: exact binomial (Clopper and Pearson 1934) on the dead units of each stretch, error
    rate 5e-4 over all layers and looks (alpha spending). Half the units of a layer that sees only positive inputs are
    silent from birth, and wide layers work with few units left, so a share below the line is no fault. A layer with no
    unit left passes nothing on, however narrow it is. Rows that come again every epoch count again, so `silent on
    every sample` speaks of the samples shown.
    Sources: Lu et al., Dying ReLU and initialization, 2019; per unit and not per element as in Zhang et al., ICSE 2021.
    """

    name = "dead-units"
    faults = ("dying_relu", "dead_layer", "lr_too_high", "bad_initialization", "unscaled_input")
    line = Line(warn=0.6, fail=0.9)

    def __init__(self) -> None:
        self._counter = _Counter(RECTIFIERS, 0.01)
        self._said: dict[str, Verdict] = {}

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom a layer whose dead units are established, and another if it gets worse."""
        out = []
        for layer, counted, alpha in self._counter.ready(window, list(range(len(window.layers)))):
            dead = int((counted.fired == 0).sum())
            if dead <= self.line.warn * len(counted.fired):
                continue  # an interval only reaches further down than its value
            estimate = share(dead, len(counted.fired), 1 - 2 * alpha)
            verdict = Verdict.FAIL if dead == len(counted.fired) else judge(estimate, self.line)
            if _worse(verdict, self._said.get(layer.name)):
                self._said[layer.name] = verdict
                out.append(self._symptom(layer, dead, counted, estimate, verdict, int(window.steps[-1])))
        return tuple(out)

    def _symptom(
        self, layer: Layer, dead: int, counted: _Stretch, estimate: Estimate, verdict: Verdict, step: int
    ) -> Symptom:
        whole = dead == len(counted.fired)
        return Symptom(
            name=self.name,
            verdict=verdict,
            claim=f"{dead} of {len(counted.fired)} units of {layer.name} fired on none of {counted.seen:,} values.",
            estimates={"dead_share": estimate},
            where=(place(layer.name),),
            suggests={"dying_relu": 4.0, "dead_layer": 3.0 if whole else 0.5, "lr_too_high": 1.0}
            | {"bad_initialization": 1.0, "unscaled_input": 0.5},
            step=step,
        )


class SaturatedUnits:
    """Most units of a hidden layer with a bounded activation sit at an asymptote, and the loss is not nearly gone.

    A unit counts as saturated when it was away from its asymptotes on under 10 % of the samples: exact binomial on
    `fired` of `seen`, at 5e-4 / (layers x units). Hypothesis for a layer: a unit saturates with probability at most
    one half. Test: exact binomial on the saturated units of each stretch, error rate 5e-4 over all layers and looks
    (alpha spending). What the network puts out is left out (a sure classifier saturates), and so is a training whose
    loss fell to under a tenth.
    Sources: Glorot and Bengio, AISTATS 2010; Rakitianskaia and Engelbrecht, IEEE SSCI 2015.
    """

    name = "saturated-units"
    faults = ("saturated_activation", "unscaled_input", "bad_initialization", "lr_too_high")
    line = Line(warn=0.5, fail=0.9)

    def __init__(self, reading: Reading | None = None) -> None:
        self._counter = _Counter(BOUNDED, 0.1)
        self._reading = reading or Reading()
        self._said: dict[str, Verdict] = {}

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom a layer whose saturation is established, and another if it gets worse."""
        self._reading.take(window)
        out = []
        for layer, counted, alpha in self._counter.ready(window, hidden(window)):
            units = len(counted.fired)
            rare = np.array([_rarely(int(n), counted.seen, alpha / units) for n in counted.fired])
            if rare.sum() <= self.line.warn * units:
                continue
            estimate = share(int(rare.sum()), units, 1 - 2 * alpha)
            verdict = Verdict.FAIL if rare.all() else judge(estimate, self.line)
            if self._reading.levels.fallen_to() < 0.1 or not _worse(verdict, self._said.get(layer.name)):
                continue
            self._said[layer.name] = verdict
            out.append(
                Symptom(
                    name=self.name,
                    verdict=verdict,
                    claim=f"{int(rare.sum())} of {units} units of {layer.name} sit within 1 % of an asymptote on over "
                    f"90 % of {counted.seen:,} values.",
                    estimates={"saturated_share": estimate},
                    where=(place(layer.name),),
                    suggests={"saturated_activation": 4.0, "unscaled_input": 1.5}
                    | {"bad_initialization": 1.5, "lr_too_high": 1.0},
                    step=int(window.steps[-1]),
                )
            )
        return tuple(out)


def _rarely(hits: int, n: int, alpha: float) -> bool:
    """Return whether something surely happens less often than one time in ten."""
    return hits < 0.1 * n and share(hits, n, 1 - 2 * alpha).high < 0.1


def place(layer: str) -> str:
    """Return a layer's name in the words of `Symptom.where`; a second call of a module is the same place."""
    return f"layer:{layer.partition('@')[0]}"


def _worse(verdict: Verdict, said: Verdict | None) -> bool:
    """Return whether a verdict is an alarm that has not been raised at this severity."""
    return verdict.severity >= Verdict.WARN.severity and (said is None or verdict.severity > said.severity)
