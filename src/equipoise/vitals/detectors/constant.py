"""Layers and outputs that say the same whatever comes in."""

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Line, Verdict, exact, judge
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.sequential import SignProcess, spread
from equipoise.vitals.detectors.units import place
from equipoise.vitals.window import Window

FEWEST_STEPS = 32
START_STEPS = 8


class CollapsedActivations:
    """All values of a layer are one number, or its deviation fell to a thousandth of what it was.

    Constant: the deviation of all values of a layer stayed below 1e-6 of their largest at every one of at least 32
    steps: a count without noise, so without error rate. Collapsed: hypothesis per step, the deviation stays above a
    thousandth of its median over the first eight steps; test, e-process of signs over steps (`sequential`), error
    rate 5e-4 over all layers. Collapse is only a fault where gradients should still flow, so a layer that puts out one
    number because its units are rectified to silence is also named by `dead-units`.
    Sources: Poole et al., NeurIPS 2016 (collapse of the forward signal); Wardat et al., DeepLocalize, ICSE 2021
    (unchanged tensors).
    """

    name = "collapsed-activations"
    faults = ("dead_layer", "wrong_output_activation", "dying_relu", "vanishing_gradient", "over_regularised")

    def __init__(self) -> None:
        self._layers: dict[str, _Layer] = {}

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom a layer that is constant or has collapsed."""
        deviation, largest = window.activation["deviation"], window.activation["maximum"]
        mean, steps = window.activation["mean"], len(window.steps)
        if not steps or not len(window.layers):
            return ()
        alpha = ALPHA / len(window.layers)
        with np.errstate(invalid="ignore"):
            flat = (deviation <= 1e-6 * largest).all(axis=0)
            still = np.ptp(mean, axis=0) <= 1e-6 * largest.max(axis=0)
        units = np.array([one.units for one in window.layers])
        # One value a step has no deviation; then the values of different steps must agree.
        flat &= still | (window.seen * units >= 2 * steps)
        out = []
        for k, layer in enumerate(window.layers):
            held = self._layers.setdefault(layer.name, _Layer())
            if held.said:
                continue
            held.add(deviation[:, k], bool(flat[k]))
            step = int(window.steps[-1])
            if held.constant >= FEWEST_STEPS:
                out.append(_always_the_same(layer.name, held, step, last=k == len(window.layers) - 1))
            elif not flat[k] and held.process.hits > held.process.misses and held.process.established(alpha):
                out.append(_collapsed(layer.name, held, deviation[:, k], step))
            else:
                continue
            held.said = True
        return tuple(out)


class _Layer:
    """What is kept of one layer."""

    def __init__(self) -> None:
        self.constant = 0
        self.start: list[float] = []
        self.usual = np.nan
        self.process = SignProcess()
        self.said = False

    def add(self, deviation: np.ndarray, flat: bool) -> None:
        """Count the steps at which the layer was constant, and those at which it deviates by far less than it did."""
        self.constant = self.constant + len(deviation) if flat else 0
        if len(self.start) < START_STEPS:
            known = deviation[~np.isnan(deviation)]
            early = START_STEPS - len(self.start)
            self.start.extend(known[:early].tolist())
            self.usual = float(np.median(self.start)) if self.start else np.nan
            deviation = known[early:]
        hits = int((deviation < 1e-3 * self.usual).sum())
        self.process.add(hits, len(deviation) - hits)


def _always_the_same(layer: str, held: _Layer, step: int, *, last: bool) -> Symptom:
    return Symptom(
        name=CollapsedActivations.name,
        verdict=Verdict.FAIL,
        claim=f"All values that {layer} put out were the same number at each of {held.constant} steps.",
        estimates={"constant_steps": exact(float(held.constant), n=held.constant)},
        where=(place(layer),),
        suggests={"dead_layer": 3.0, "wrong_output_activation": 3.0 if last else 0.5, "dying_relu": 1.0},
        step=step,
    )


def _collapsed(layer: str, held: _Layer, deviation: np.ndarray, step: int) -> Symptom:
    ratio = spread((deviation / held.usual).tolist())
    return Symptom(
        name=CollapsedActivations.name,
        verdict=Verdict.WARN,
        claim=f"The deviation of what {layer} puts out fell to {ratio.value:.2g} of what it was at the start.",
        estimates={"deviation_ratio": ratio, "share_of_steps": held.process.share()},
        where=(place(layer),),
        suggests={"dead_layer": 2.0, "over_regularised": 1.5, "vanishing_gradient": 1.0},
        step=step,
    )


def identical_outputs_symptom(outputs: np.ndarray, where: str, *, step: int = 0, alpha: float = ALPHA) -> Symptom:
    """Return whether a representation tells its inputs apart.

    The share of its second moment that lies between samples, with a bootstrap interval over samples: 0 when every
    input is mapped to the same point. Under 1e-6 is a failure, under 1e-4 a warning; the whole interval must clear the
    line (error rate `alpha` per call).

    Args:
        outputs: Representations (n, features) of n distinct inputs, n at least 2.
        where: Place that the representation belongs to, in the words of `Symptom.where`.
        step: Optimiser step at which it was taken.
        alpha: Error rate of this call.

    Raises:
        ValueError: Fewer than two samples, or values that are not finite.
    """
    flat = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), -1)
    if len(flat) < 2 or not np.isfinite(flat).all():
        raise ValueError(
            f"got outputs of shape {np.shape(outputs)} (finite: {bool(np.isfinite(flat).all())}); expected numbers "
            "of two samples or more. Pass the representations of a whole batch, before anything turned NaN."
        )

    def between(rows: np.ndarray) -> float:
        whole = float((rows**2).mean())
        return float(((rows - rows.mean(0)) ** 2).mean()) / whole if whole > 0 else 0.0

    value = between(flat)
    from equipoise.stats.intervals import bootstrap  # loads scipy.stats, which no training needs

    estimate = (
        Estimate(value=value, low=value, high=value, n=len(flat), level=1.0, method="counted")
        if value < 1e-12
        else bootstrap(between, flat, repeats=400, level=1 - 2 * max(alpha, 0.005))
    )
    verdict = judge(estimate, Line(warn=1e-4, fail=1e-6, worse="below"))
    alarm = verdict.severity >= Verdict.WARN.severity
    return Symptom(
        name="identical-outputs",
        verdict=verdict,
        claim=f"{estimate.value:.2g} of the second moment of the representation lies between {len(flat)} samples.",
        estimates={"between_share": estimate},
        where=(where,) if alarm else (),
        suggests={"dead_layer": 3.0, "dying_relu": 1.0, "vanishing_gradient": 1.0} if alarm else {},
        step=step,
    )
