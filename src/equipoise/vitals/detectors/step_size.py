"""Steps that are too large or too small for the weights they move."""

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Line, Verdict, exact, judge
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.reading import Reading
from equipoise.vitals.detectors.sequential import Doubling, SignProcess, spread
from equipoise.vitals.window import Window


class StepTooLarge:
    """Steps replace over a tenth of the weights each, and the loss does not fall.

    Hypothesis per step: the norm of the step stays under 0.1 of the norm of all weights. Test: e-process of signs over
    steps that it does at least half the time, error rate 5e-4 / 2, and the last window agrees. A step among the first
    eight that replaced half of the weights or more is a fact that needs no test: weights may have grown until the steps
    no longer look large. Large steps that work
    are no fault, so the loss must surely have fallen by under 25 % (`Levels.stalled`, error rate 5e-4 / 2) or be worse
    than at the first step.
    Sources: Bottou; Karpathy's 1e-3 rule for update ratios; You, Gitman and Ginsburg 2017 (layer-wise ratios).
    """

    name = "step-too-large"
    faults = ("lr_too_high", "wrong_optimizer", "unscaled_input")
    line = 0.1

    def __init__(self, reading: Reading | None = None) -> None:
        self._process = SignProcess()
        self._reading = reading or Reading()
        self._looks = Doubling(ALPHA / 2, 32)
        self._first = np.empty(0)
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when large steps that do not help are established."""
        self._reading.take(window)
        due = self._looks.due(self._reading.levels.count)
        ratios = self._reading.totals.update_ratio
        ratios = ratios[np.isfinite(ratios)]
        hits = int((ratios > self.line).sum())
        self._process.add(hits, len(ratios) - hits)
        self._first = np.concatenate((self._first, ratios))[:8]
        often = 2 * hits > len(ratios) and self._process.established(ALPHA / 2)
        leapt = bool((self._first > 0.5).any())
        if self._said or not (often or leapt):
            return ()
        levels = self._reading.levels
        if not (levels.worse() or (often and due is not None and levels.stalled(0.25, due))):
            return ()
        self._said = True
        usual, first = spread(ratios.tolist()), spread(self._first.tolist())
        return (
            Symptom(
                name=self.name,
                verdict=Verdict.FAIL,
                claim=f"Steps replace {usual.value:.2g} of the weights ({float(self._first.max()):.2g} among the first "
                "eight), and the loss does not fall.",
                estimates={"update_ratio": usual, "first": first, "share_of_steps": self._process.share()},
                where=("optimizer.lr",),
                suggests={"lr_too_high": 4.0, "wrong_optimizer": 1.0, "unscaled_input": 0.5},
                step=int(window.steps[-1]),
            ),
        )


class StepTooSmall:
    """Steps move the weights by next to nothing, and at this pace the loss gets nowhere.

    Hypothesis per step: the step moves all weights together by at least 1e-4 of their norm. Test: e-process of signs,
    error rate 5e-4 / 2. Small steps are only a fault when the loss also falls too slowly: even if it kept its pace to
    the end of the budget (given, or ten times what was trained so far) it would fall by under 10 %, by the upper end
    of its trend (error rate 5e-4 / 2). A rate that is still rising (warm-up) or was lowered on purpose is not judged.
    Steps that are exactly zero belong to `stale-optimizer`.
    Sources: Karpathy's 1e-3 rule for update ratios; Domhan, Springenberg and Hutter, IJCAI 2015 (extrapolation).
    """

    name = "step-too-small"
    faults = ("lr_too_low", "wrong_optimizer", "vanishing_gradient")
    line = 1e-4

    def __init__(self, budget: int | None = None, reading: Reading | None = None) -> None:
        """Make a detector.

        Args:
            budget: Optimiser steps of the whole training, or None when unknown.
            reading: Shared with other detectors of the same training, or None for its own.
        """
        self._budget = budget
        self._process = SignProcess()
        self._reading = reading or Reading()
        self._looks = Doubling(ALPHA / 2, 64)
        self._rates: list[float] = []
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when small steps that get nowhere are established."""
        self._reading.take(window)
        due = self._looks.due(self._reading.levels.count)
        ratios = self._reading.totals.update_ratio
        ratios = ratios[np.isfinite(ratios) & (ratios > 0)]
        hits = int((ratios < self.line).sum())
        self._process.add(hits, len(ratios) - hits)
        moved = self._rate_moved(window)
        if self._said or due is None or moved or 2 * hits <= len(ratios) or not self._process.established(ALPHA / 2):
            return ()
        trained = int(window.steps[-1])
        # The trend spans the record; a budget that is nearly used up leaves at least what was trained.
        pace = max(1.0, (self._budget or 10 * trained) / trained)
        path = float(np.median(ratios)) * max(trained, self._budget or 2 * trained)
        if not self._reading.levels.stalled(0.1 if path < 0.01 else 0.1 / pace, due):
            return ()
        self._said = True
        usual = spread(ratios.tolist())
        return (
            Symptom(
                name=self.name,
                verdict=Verdict.FAIL,
                claim=f"Each step moves the weights by {usual.value:.2g} of their norm; after {trained} steps the loss "
                f"is at {self._reading.levels.fallen_to():.3g} of its start.",
                estimates={"update_ratio": usual, "share_of_steps": self._process.share()},
                where=("optimizer.lr",),
                suggests={"lr_too_low": 4.0, "wrong_optimizer": 1.5, "vanishing_gradient": 1.0},
                step=trained,
            ),
        )

    def _rate_moved(self, window: Window) -> bool:
        known = window.learning_rate[np.isfinite(window.learning_rate)]
        if len(known):
            self._rates = [min([*self._rates[:1], float(known.min())]), max([*self._rates[1:], float(known.max())])]
        return bool(self._rates) and self._rates[1] > 1.01 * self._rates[0]


def sharp_step_symptom(
    sharpness: Estimate, learning_rate: float, *, momentum: float = 0.0, step: int = 0, full_batch: bool = False
) -> Symptom:
    """Return whether the step is too large for the curvature.

    On a quadratic, gradient descent with momentum b diverges along a direction whose curvature exceeds
    2 (1 + b) / learning rate. Real training settles just above that edge (Cohen et al., ICLR 2021), so a product up to
    2.5 instead of 2 is `unsure`; beyond 4 even the catapult that flattens a network fails (Lewkowycz et al., arXiv
    2003.02218). The whole interval of the sharpness must clear the line, so the error rate is one minus its level.
    Valid for gradient descent with or without momentum; preconditioned steps (Adam) need the sharpness of the
    preconditioned Hessian.

    Args:
        sharpness: Largest eigenvalue of the Hessian of the training loss, with its interval.
        learning_rate: Of the step, above 0.
        momentum: Heavy-ball factor in [0, 1).
        step: Optimiser step at which it was measured.
        full_batch: Whether steps use all data; the edge is then where training settles, and only 4 is judged.

    Raises:
        ValueError: A learning rate or momentum out of range.
    """
    if not learning_rate > 0 or not 0 <= momentum < 1:
        raise ValueError(
            f"got learning rate {learning_rate} and momentum {momentum}; expected a rate above 0 and a momentum in "
            "[0, 1). Read both from the optimiser's parameter group."
        )
    factor = learning_rate / (1 + momentum)
    product = Estimate(
        value=sharpness.value * factor,
        low=sharpness.low * factor,
        high=sharpness.high * factor,
        n=sharpness.n,
        level=sharpness.level,
        method=sharpness.method,
    )
    verdict = judge(product, Line(warn=4.0 if full_batch else 2.5, fail=4.0))
    if verdict is Verdict.PASS and product.high > 2.0:
        verdict = Verdict.UNSURE
    alarm = verdict.severity >= Verdict.WARN.severity
    return Symptom(
        name="sharp-step",
        verdict=verdict,
        claim=f"Step times sharpness is {product.value:.3g}; steps stay stable up to 2.",
        estimates={"step_times_sharpness": product, "learning_rate": exact(learning_rate)},
        where=("optimizer.lr",) if alarm else (),
        suggests={"lr_too_high": 3.0 if verdict is Verdict.FAIL else 1.5, "unscaled_input": 0.5} if alarm else {},
        step=step,
    )
