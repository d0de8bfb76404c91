"""Gradients of earlier steps that pile up."""

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.reading import Reading
from equipoise.vitals.detectors.sequential import SignProcess, share
from equipoise.vitals.window import Window


class MissingZeroGrad:
    """Gradients of the step before were still there when the next backward pass began, step after step.

    The event is a fact and not an estimate; one or two of them are an accident of where recording began, so at least
    five are asked for. When they come at nine steps in ten, nothing else is needed. When they come at fewer, the loop
    may accumulate on purpose; then the pattern of a sum must show: given the past, the cosine of the gradient with the
    one before lies above 0.7 over half the time (a running sum hardly turns; fresh gradients do), an e-process of signs
    over steps with error rate 5e-4.
    Source: the contract of gradients at step start, as inferred by Jiang et al., TrainCheck, OSDI 2025.
    """

    name = "missing-zero-grad"
    faults = ("missing_zero_grad",)

    def __init__(self, reading: Reading | None = None) -> None:
        self._reading = reading or Reading()
        self._stale = 0
        self._steps = 0
        self._turning = SignProcess()
        self._said = False

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom when leftover gradients are established."""
        self._reading.take(window)
        hit = {event.step for event in window.events if event.kind == "stale_gradient"}
        sampled = {int(step) for step in window.steps}
        self._steps += len(sampled)
        self._stale += len(hit & sampled) if sampled else 0
        cosine = self._reading.totals.cosine
        cosine = cosine[np.isfinite(cosine)]
        straight = int((cosine > 0.7).sum())
        self._turning.add(straight, len(cosine) - straight)
        if self._said or self._stale < 5:
            return ()
        always = self._stale >= 0.9 * (self._steps - 1)
        if not (always or self._turning.established(ALPHA)):
            return ()
        self._said = True
        estimates = {"stale_steps": share(self._stale, self._steps)}
        if len(cosine):
            estimates["gradient_cosine"] = exact(float(np.median(cosine)), n=len(cosine))
        return (
            Symptom(
                name=self.name,
                verdict=Verdict.FAIL,
                claim=f"At {self._stale} of {self._steps} steps the gradient of the step before was still there when "
                "the backward pass began.",
                estimates=estimates,
                where=("loop.zero_grad",),
                suggests={"missing_zero_grad": 6.0},
                step=int(window.steps[-1]),
            ),
        )
