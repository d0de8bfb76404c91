"""Trained parameters that no gradient reaches."""

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.vitals.detectors.units import place
from equipoise.vitals.window import Window

PATIENCE = 20
"""Steps in a row without any gradient."""


class NoGradient:
    """A layer takes part in the computation, and none of its parameters gets a gradient while others do.

    Exact, so without an error rate: over at least 20 steps in a row every trainable parameter of the layer has a
    gradient that is missing or exactly zero, while some other parameter has one. One tensor of a layer may rightly stay
    without (a bias before a normalisation), so the whole layer is asked for; a layer that is never called (an
    unused head) takes no part and is left alone. A missing gradient is cut off (detached, frozen by no_grad); one that
    is exactly zero is blocked by units that are silent or saturated.
    Source: untrained parameters, TheDeepChecker, TOSEM 2022.
    """

    name = "no-gradient"
    faults = ("parameters_without_gradient", "dying_relu", "dead_layer", "saturated_activation")

    def __init__(self) -> None:
        self._without: dict[str, int] = {}
        self._missing: dict[str, int] = {}
        self._said: set[str] = set()

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom for all layers that are newly established to be without a gradient."""
        if not len(window.steps):
            return ()
        with np.errstate(invalid="ignore"):
            reached = (window.gradient["norm"] > 0) | (window.gradient["non_finite"] > 0)
        if reached[-1].all() and not self._without:
            return ()
        called = {one.name.partition("@")[0] for one in window.layers}
        owned: dict[str, list[int]] = {}
        for p, one in enumerate(window.weights):
            if one.trainable and one.layer in called:
                owned.setdefault(one.layer, []).append(p)
        some = reached.any(axis=1)
        for layer, indices in owned.items():
            without = np.logical_not(reached[:, indices].any(axis=1))
            if not without[some].all():
                self._without.pop(layer, None)
                self._missing.pop(layer, None)
                continue
            missing = np.isnan(window.gradient["norm"][:, indices]).all(axis=1)
            self._without[layer] = self._without.get(layer, 0) + int(some.sum())
            self._missing[layer] = self._missing.get(layer, 0) + int((some & missing).sum())
        fresh = [one for one in owned if self._without.get(one, 0) >= PATIENCE and one not in self._said]
        if not fresh:
            return ()
        self._said.update(fresh)
        return (self._symptom(fresh, len(owned), int(window.steps[-1])),)

    def _symptom(self, layers: list[str], of: int, step: int) -> Symptom:
        cut = all(2 * self._missing[layer] > self._without[layer] for layer in layers)
        steps = min(self._without[layer] for layer in layers)
        return Symptom(
            name=self.name,
            verdict=Verdict.FAIL,
            claim=f"{len(layers)} of {of} layers ({', '.join(layers[:3])}{', ...' if len(layers) > 3 else ''}) had "
            f"{'no gradient' if cut else 'a gradient of exactly zero'} at each of {steps} steps.",
            estimates={"layers_without": exact(len(layers) / of, n=of), "steps": exact(float(steps), n=steps)},
            where=tuple(place(layer) for layer in layers),
            suggests={"parameters_without_gradient": 5.0}
            if cut
            else {
                "parameters_without_gradient": 1.5,
                "dying_relu": 2.5,
                "dead_layer": 2.0,
                "saturated_activation": 1.0,
            },
            step=step,
        )
