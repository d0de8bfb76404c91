"""The first value that is infinite or not a number."""

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.sequential import SignProcess
from equipoise.vitals.window import Window


class NonFinite:
    """Says where the first infinite value or NaN came from, in the order of the computation.

    A count, so there is no error rate: a loss or gradient that is not finite is one. A layer may put out infinities on
    purpose (masked attention scores), so activations count only once the loss or a gradient is hit. A step that the
    loop skipped for its overflow (gradient scaling of mixed precision) is no fault unless more than a tenth are
    (e-process of signs, see `sequential`).
    Naming the first operation instead of a mean that turned NaN: Wardat, Le and Rajan, DeepLocalize, ICSE 2021.
    """

    name = "non-finite"
    faults = ("lr_too_high", "exploding_gradient", "loss_mismatch", "unscaled_input", "bad_initialization")

    def __init__(self) -> None:
        self._said = False
        self._skipped = SignProcess(0.1)

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom, at the first step whose loss or gradient is not finite."""
        if not window.events and _all_finite(window):
            self._skipped.add(0, len(window.steps))
            return ()
        skipped = {event.step for event in window.events if event.kind == "skipped_step"}
        passed = np.array([step in skipped for step in window.steps], dtype=bool)
        self._skipped.add(int(passed.sum()), int((~passed).sum()))
        if self._said:
            return ()
        if self._skipped.established(ALPHA):
            self._said = True
            return (self._often_skipped(window),)
        hit = _broken(window) & ~passed
        if not hit.any():
            return ()
        self._said = True
        return (self._first(window, int(np.flatnonzero(hit)[0])),)

    def _often_skipped(self, window: Window) -> Symptom:
        rate = self._skipped.share()
        return Symptom(
            name=self.name,
            verdict=Verdict.WARN,
            claim=f"{rate.value:.0%} of the steps were skipped because gradients overflowed.",
            estimates={"skipped_share": rate},
            where=("loop.backward",),
            suggests={"exploding_gradient": 1.5, "lr_too_high": 1.0},
            step=int(window.steps[-1]),
        )

    def _first(self, window: Window, k: int) -> Symptom:
        counts = np.nan_to_num(window.activation["non_finite"][k]) > 0
        gradients = np.nan_to_num(window.gradient["non_finite"][k]) > 0
        layers = [window.layers[j].name for j in np.flatnonzero(counts)]
        # Backward runs from the loss to the inputs: the last parameter hit is where it began.
        owners = [window.weights[j].layer for j in np.flatnonzero(gradients)][::-1]
        told = [event for event in window.events if event.kind == "non_finite" and event.step <= window.steps[k]]
        step = int(window.steps[k])
        if told and told[0].where in {one.layer for one in window.weights} | {one.name for one in window.layers}:
            layers.insert(0, told[0].where)
        if layers:
            first, stage = f"layer:{layers[0]}", "forward"
        elif not np.isfinite(window.loss[k]) or (told and told[0].where == "loss"):
            first, stage = "loss", "loss"
        else:
            first, stage = f"layer:{owners[0]}" if owners else "loss", "backward"
        suggests = {
            "forward": {
                "lr_too_high": 2.0,
                "exploding_gradient": 2.0,
                "unscaled_input": 1.0,
                "bad_initialization": 1.0,
            },
            "loss": {"loss_mismatch": 2.0, "lr_too_high": 1.0},
            "backward": {"exploding_gradient": 2.0, "loss_mismatch": 1.5, "lr_too_high": 1.0},
        }[stage]
        return Symptom(
            name=self.name,
            verdict=Verdict.FAIL,
            claim=f"At step {step} the first value that is infinite or not a number comes from {first} ({stage}).",
            estimates={
                "layers_hit": exact(float(counts.sum()), n=max(1, len(window.layers))),
                "gradients_hit": exact(float(gradients.sum()), n=max(1, len(window.weights))),
            },
            where=(first,),
            suggests=suggests,
            step=step,
        )


def _all_finite(window: Window) -> bool:
    """Return whether nothing was counted or measured that is infinite; NaN may stand for what was not measured."""
    return not (
        (window.gradient["non_finite"] > 0).any()
        or np.isinf(window.gradient["norm"]).any()
        or np.isinf(window.loss).any()
    )


def _broken(window: Window) -> np.ndarray:
    """Return at which steps (S,) the loss or a gradient is not finite; a NaN loss may just not have been measured."""
    gradients = (np.nan_to_num(window.gradient["non_finite"]) > 0).any(1) | np.isinf(window.gradient["norm"]).any(1)
    told = {event.step for event in window.events if event.kind == "non_finite" and event.where == "loss"}
    return np.isinf(window.loss) | gradients | np.array([int(step) in told for step in window.steps], dtype=bool)
