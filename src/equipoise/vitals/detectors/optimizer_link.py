"""Whether the optimiser moves the parameters that are trained: stale, replaced, or never handed over."""

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.vitals.detectors.units import place
from equipoise.vitals.window import Window

PATIENCE = 5
"""Steps in a row after which a fact about a parameter counts as a habit."""


class StaleOptimizer:
    """Parameters have a gradient and do not move.

    Exact, so without an error rate: at 5 steps in a row at a rate above zero a parameter has a gradient that is not
    zero and its step is exactly zero. Steps that the loop skipped do not count. If none of the parameters ever moved,
    the optimiser holds others than the network has, or is never asked to step: a failure. If only some stand still,
    those that the optimiser does not hold are named. Whole layers before the first trained one, left out together, are
    how one freezes the early part of a network, so they are `unsure`. Steps that are lost to rounding (under 1e-7 of
    the weights by gradient times rate) belong to `vanishing-gradient` and are left out.
    Source: parameters that must change after a step, Jiang et al., TrainCheck, OSDI 2025.
    """

    name = "stale-optimizer"
    faults = ("parameters_not_updated",)

    def __init__(self) -> None:
        self._still: dict[str, int] = {}
        self._moved: set[str] = set()
        self._said: set[str] = set()

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom for all parameters that are newly established to stand still."""
        self._count(window)
        still = {name for name, n in self._still.items() if n >= PATIENCE and name not in self._moved}
        fresh = still - self._said
        if not fresh:
            return ()
        self._said |= fresh
        known = [one for one in window.weights if one.trainable]
        everything = not self._moved
        frozen = not everything and _early_part([one.layer for one in known], {_owner(window, n) for n in still})
        total = sum(one.count for one in known)
        count = sum(one.count for one in known if one.name in still)
        layers = tuple(dict.fromkeys(place(one.layer) for one in known if one.name in fresh))
        left_out = sum(1 for one in known if one.name in still and not one.optimized)
        verdict = Verdict.FAIL if everything else Verdict.UNSURE if frozen else Verdict.WARN
        return (
            Symptom(
                name=self.name,
                verdict=verdict,
                claim=f"{len(still)} of {len(known)} parameters ({count:,} of {total:,} values) have a gradient and do "
                f"not move; the optimiser does not hold {left_out} of them.",
                estimates={"values_standing": exact(count / max(1, total), n=max(1, total))},
                where=("optimizer.params", *layers),
                suggests={}
                if frozen
                else {"parameters_not_updated": 5.0 if everything or count > 0.5 * total else 3.0},
                step=int(window.steps[-1]),
            ),
        )

    def _count(self, window: Window) -> None:
        skipped = {event.step for event in window.events if event.kind == "skipped_step"}
        usable = np.array([step not in skipped for step in window.steps.tolist()], dtype=bool)
        usable &= ~(window.learning_rate == 0)
        rate = np.where(window.learning_rate > 0, window.learning_rate, 1.0)
        for p, one in enumerate(window.weights):
            if not one.trainable or one.name in self._moved:
                continue
            ratio, norm, size = (
                x[:, p] for x in (window.weight["update_ratio"], window.gradient["norm"], window.weight["norm"])
            )
            if bool((ratio > 0).any()):
                self._moved.add(one.name)
                continue
            with np.errstate(invalid="ignore"):
                counted = usable & (norm > 0) & ~np.isnan(ratio)
                lost = one.optimized & (size > 0) & (norm * rate < 1e-6 * size)
            if bool((counted & lost).any()):
                self._still[one.name] = 0
            else:
                self._still[one.name] = self._still.get(one.name, 0) + int(counted.sum())


class ReplacedParameters:
    """Parameters of the network are other objects than before, again and again.

    Exact, so without an error rate: the recorder reports every parameter that was replaced. Once or twice is surgery;
    at three steps it is a habit, and an optimiser that was made before holds none of the new ones.
    Source: the changing set of parameters, TheDeepChecker / TFCheck, TOSEM 2022 (untrained parameters).
    """

    name = "replaced-parameters"
    faults = ("parameters_not_updated",)

    def __init__(self) -> None:
        self._steps: set[int] = set()
        self._where: dict[str, None] = {}
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when parameters have been replaced at three steps."""
        for event in window.events:
            if event.kind == "parameter_replaced" and len(self._steps) < 3:
                self._steps.add(event.step)
                self._where.setdefault(event.where)
        if self._said or len(self._steps) < 3:
            return ()
        self._said = True
        owners = {one.name: one.layer for one in window.weights}
        layers = dict.fromkeys(place(owners.get(name, name)) for name in self._where)
        return (
            Symptom(
                name=self.name,
                verdict=Verdict.FAIL,
                claim=f"Parameters were made anew at {len(self._steps)} steps up to step {max(self._steps)}, so what "
                "was learned is thrown away.",
                estimates={"steps": exact(float(len(self._steps)), n=len(self._steps))},
                where=("loop.step", *layers),
                suggests={"parameters_not_updated": 5.0},
                step=max(self._steps),
            ),
        )


def _owner(window: Window, name: str) -> str:
    return next((one.layer for one in window.weights if one.name == name), name)


def _early_part(layers: list[str], still: set[str]) -> bool:
    """Return whether the layers that stand still are whole and come before every layer that moves."""
    order = list(dict.fromkeys(layers))
    first_moving = next((k for k, layer in enumerate(order) if layer not in still), len(order))
    return 0 < first_moving == len(still) < len(order)
