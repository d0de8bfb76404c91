"""Bouncing across a valley, told from the noise of batches."""

import math

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Line, Verdict, exact, judge
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.reading import Reading
from equipoise.vitals.detectors.sequential import Doubling, SignProcess, spread
from equipoise.vitals.window import Window


class Oscillation:
    """Successive gradients point against each other, and the loss does not fall.

    Gradients of independent noise are orthogonal; a step across a valley turns the next one round. Hypothesis per
    step: given the past, the cosine of a gradient with the one before lies above -0.3 at least half the time. Test:
    e-process of signs over steps, error rate 5e-4 / 2, and the last window agrees. Training at the edge of stability
    bounces too while the loss falls (Cohen et al., ICLR 2021), so the loss must surely have fallen by under 10 % since
    the start, or over the last half of the record (`Levels`, error rate 5e-4 / 2) while it stays above half its start.
    Sources: Murata et al. 1997 and Schraudolph 1999 (sign and cosine of successive gradients as a gauge of the step).
    """

    name = "oscillation"
    faults = ("oscillating_loss", "lr_too_high", "batch_size_too_small")
    line = -0.3

    def __init__(self, reading: Reading | None = None) -> None:
        self._process = SignProcess()
        self._reading = reading or Reading()
        self._looks = Doubling(ALPHA / 4, 48)
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when bouncing that gets nowhere is established."""
        self._reading.take(window)
        due = self._looks.due(self._reading.levels.count)
        cosine = self._reading.totals.cosine
        cosine = cosine[np.isfinite(cosine)]
        hits = int((cosine < self.line).sum())
        self._process.add(hits, len(cosine) - hits)
        if self._said or due is None or 2 * hits <= len(cosine) or not self._process.established(ALPHA / 2):
            return ()
        late = self._reading.levels.trend(due, last=0.5)
        rests = late is not None and late.low > -0.1 and self._reading.levels.fallen_to() > 0.5
        if not (rests or self._reading.levels.stalled(0.1, due)):
            return ()
        self._said = True
        usual = spread(cosine.tolist())
        return (
            Symptom(
                name=self.name,
                verdict=Verdict.FAIL,
                claim=f"Successive gradients have a cosine of {usual.value:.2f}: steps bounce, the loss does not fall.",
                estimates={"gradient_cosine": usual, "share_of_steps": self._process.share()},
                where=("optimizer.lr", "loss"),
                suggests={"lr_too_high": 3.5, "oscillating_loss": 3.0},
                step=int(window.steps[-1]),
            ),
        )


def noise_scale_symptom(noise_scale: Estimate, batch_size: int, *, progress: Estimate, step: int = 0) -> Symptom:
    """Return whether a loss that does not settle is the noise of too small batches.

    The gradient noise scale is the batch size at which noise and signal of the gradient are equal; far below it, steps
    follow noise (McCandlish et al., arXiv 1812.06162). Hypothesis: noise scale over batch size is at most 30; its whole
    interval must clear that, and the loss must not be falling, so the error rate is at most one minus the level of
    the intervals. Late in a training the scale grows without bound while the loss rests at its floor, so this is for
    a loss known to be above its floor.

    Args:
        noise_scale: In samples, with its interval.
        batch_size: Samples a step, at least 1.
        progress: Trend of the loss over the stretch, as a share of itself; negative while it falls.
        step: Optimiser step at which it was measured.

    Raises:
        ValueError: A batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"got batch size {batch_size}; expected at least 1. Pass the number of samples a step.")
    ratio = Estimate(
        value=noise_scale.value / batch_size,
        low=noise_scale.low / batch_size,
        high=noise_scale.high / batch_size,
        n=noise_scale.n,
        level=noise_scale.level,
        method=noise_scale.method,
    )
    falling = progress.high < 0
    verdict = (
        Verdict.PASS if falling or not math.isfinite(ratio.value) else judge(ratio, Line(warn=30.0, fail=math.inf))
    )
    alarm = verdict.severity >= Verdict.WARN.severity
    return Symptom(
        name="gradient-noise",
        verdict=verdict,
        claim=f"The gradient noise scale is {ratio.value:.3g} times the batch of {batch_size}.",
        estimates={"noise_over_batch": ratio, "loss_trend": progress, "batch_size": exact(float(batch_size))},
        where=("loop.batch_size",) if alarm else (),
        suggests={"batch_size_too_small": 2.5, "oscillating_loss": 1.0, "lr_too_high": 0.5} if alarm else {},
        step=step,
    )
