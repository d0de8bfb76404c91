"""Gradients that shrink or grow from layer to layer on the way back to the input."""

import math

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.reading import Reading
from equipoise.vitals.detectors.sequential import Doubling, SignProcess, spread
from equipoise.vitals.window import Window


class VanishingGradient:
    """Gradients decay by a factor of 100 or more over the depth, and the early layers or the loss stand still.

    Hypothesis per step: by the robust slope of log(|g| / |w|) over all layers (see `depth_profile.decay`), more than a
    hundredth of the gradient is left. Test: e-process of signs over 16 steps a window that it is so at least half the
    time (`sequential`), error rate 5e-4 / 2.
    Decay alone harms nobody (Adam undoes it, normalisation and residual links do not have it), so one of two
    consequences must hold: the early third moves, relative to its weights, by under 1e-5 a step and by under a
    hundredth of the late third; or the loss surely fell by under 10 % (`Levels.stalled`, error rate 5e-4 / 2).
    Sources: Hochreiter 1991; Bengio, Simard and Frasconi, IEEE TNN 1994; Glorot and Bengio, AISTATS 2010.
    """

    name = "vanishing-gradient"
    faults = ("vanishing_gradient", "saturated_activation", "bad_initialization")
    line = math.log(100.0)

    def __init__(self, reading: Reading | None = None) -> None:
        self._process = SignProcess()
        self._reading = reading or Reading()
        self._looks = Doubling(ALPHA / 2, 64)
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when decay and its consequence are established."""
        self._reading.take(window)
        profile = self._reading.profile()
        names, total = profile.names, profile.decay
        hits = int((total > self.line).sum())
        self._process.add(hits, len(total) - hits)
        due = self._looks.due(self._reading.levels.count)
        decays = 2 * hits > len(total) and self._process.established(ALPHA / 2)
        if self._said or not decays:
            return ()
        stands = _early_stands_still(profile.ratios)
        stalled = due is not None and self._reading.levels.stalled(0.1, due)
        if not (stands or stalled):
            return ()
        self._said = True
        third = max(1, len(names) // 3)
        factor = math.exp(float(np.median(total)))
        consequence = "the early layers hardly move" if stands else "the loss stands still"
        return (
            Symptom(
                name=self.name,
                verdict=Verdict.FAIL if stalled or not stands else Verdict.WARN,
                claim=f"Gradients shrink {factor:.3g}-fold over {len(names)} layers back to {names[0]}; {consequence}.",
                estimates={"decay_nats": spread(total.tolist(), unit="nats"), "share_of_steps": self._process.share()},
                where=tuple(f"layer:{name}" for name in names[:third]),
                suggests={"vanishing_gradient": 4.0, "saturated_activation": 1.0, "bad_initialization": 1.0},
                step=int(window.steps[-1]),
            ),
        )


def _early_stands_still(ratios: np.ndarray) -> bool:
    """Return whether the early third of the layers moves by under 1e-5 a step and a hundredth of the late third."""
    if not np.isfinite(ratios).any():
        return False
    moved = np.nan_to_num(ratios)
    third = max(1, moved.shape[1] // 3)
    early, late = np.median(moved[:, :third]), np.median(moved[:, -third:])
    return bool(late > 0 and early < 1e-5 and early < 0.01 * late)


class ExplodingGradient:
    """Gradients grow a hundredfold towards the input, or burst, and the loss does not fall.

    Two tests, error rate 5e-4 / 4 each. Growth: e-process of signs over 16 steps a window that, by the robust slope of
    the depth profile, gradients grow by less than a hundredfold. Bursts: e-process that at most 2 % of the steps have a
    gradient over 100 times the median of the first eight *and* of the window before. Both speak only when the loss
    surely fell by under 25 % (error rate 5e-4 / 2) or is worse than at the first step: bounded steps such as Adam's
    survive large gradients.
    Sources: Pascanu, Mikolov and Bengio, ICML 2013; Philipp, Song and Carbonell, arXiv 1712.05577.
    """

    name = "exploding-gradient"
    faults = ("exploding_gradient", "bad_initialization", "lr_too_high")
    line = math.log(100.0)

    def __init__(self, reading: Reading | None = None) -> None:
        self._growth = SignProcess()
        self._bursts = SignProcess(0.02)
        self._reading = reading or Reading()
        self._looks = Doubling(ALPHA / 2, 64)
        self._start = np.empty(0)
        self._before = np.empty(0)
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when growth or bursts are established and the loss does not fall."""
        self._reading.take(window)
        due = self._looks.due(self._reading.levels.count)
        profile = self._reading.profile()
        names, total = profile.names, profile.decay
        hits = int((total < -self.line).sum())
        self._growth.add(hits, len(total) - hits)
        self._count_bursts()
        growth, bursts = self._growth.established(ALPHA / 4), self._bursts.established(ALPHA / 4)
        if self._said or not names or not (growth or bursts):
            return ()
        levels = self._reading.levels
        if not (levels.worse() or (due is not None and levels.stalled(0.25, due))):
            return ()
        self._said = True
        seen = (
            f"grow {math.exp(min(700.0, -float(np.median(total)))):.3g}-fold over {len(names)} layers to {names[0]}"
            if growth and len(total)
            else f"burst a hundredfold in {self._bursts.share().value:.1%} of the steps"
        )
        return (
            Symptom(
                name=self.name,
                verdict=Verdict.FAIL,
                claim=f"Gradients {seen}, and the loss does not fall.",
                estimates={
                    name: one.share()
                    for name, one in (("growth_share", self._growth), ("burst_share", self._bursts))
                    if one.hits + one.misses
                },
                where=(f"layer:{names[0]}",),
                suggests={"exploding_gradient": 4.0, "bad_initialization": 1.5, "lr_too_high": 1.0},
                step=int(window.steps[-1]),
            ),
        )

    def _count_bursts(self) -> None:
        norms = self._reading.totals.gradient
        norms = norms[~np.isnan(norms)]
        early = max(0, 8 - len(self._start))
        self._start = np.concatenate((self._start, norms[:early]))
        rest = norms[early:]
        if len(rest):
            usual = max(float(np.median(self._start)), float(np.median(self._before if len(self._before) else rest)))
            hits = int((~(rest <= 100 * usual)).sum())
            self._bursts.add(hits, len(rest) - hits)
            self._before = rest[-16:]
