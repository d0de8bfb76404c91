"""`input-scale`: are the inputs on a scale on which gradient steps of one length suit every direction?"""

import math

import torch
from torch import Tensor

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.reaching import reaching
from equipoise.examine.probes.setup import Setup

NAME = "input-scale"
_MOST_COLUMNS = 512


@probe(NAME)
def input_scale(setup: Setup) -> Symptom:
    """Compare the curvature that the inputs bring with that of the same inputs standardised.

    The largest eigenvalue of the inputs' second moments (a constant for the bias included) bounds the stable step, and
    its ratio to the middle one tells how unlike the directions are (LeCun et al., Efficient BackProp, 1998). Both are
    compared with those of standardised inputs, so correlated columns, one-hot columns and pixels in [0, 1] are no
    fault.
    """
    if setup.train[0].is_floating_point() and not bool(torch.isfinite(setup.train[0]).all()):
        bad = float((~torch.isfinite(setup.train[0])).double().mean())
        claim = f"{bad:.2%} of the input values are not finite. Fill them in, or drop their rows."
        suggests = {"unscaled_input": 4.0}
        return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=("inputs",), suggests=suggests)
    seen = reaching(setup)
    if seen is None:
        raise InapplicableError("the first layer takes no table of numbers")
    if len(seen.columns) < 8:
        raise InapplicableError(f"{len(seen.columns)} samples are too few to judge a scale by")
    steeper, uneven, louder = _interval(seen.columns)
    size = float(seen.columns.square().mean(0).sqrt().max())
    estimates = {
        "log10 curvature against standardised": steeper,
        "log10 unevenness against standardised": uneven,
        "log10 variation against standardised": louder,
    }
    claim = (
        f"What reaches {seen.layer or 'the first layer'} has columns up to {size:.3g} in size: the curvature is "
        f"10^{steeper.value:.1f} times that of standardised inputs, and its directions are 10^{uneven.value:.1f} "
        "times as unlike."
    )
    weight = _weight(steeper, uneven, louder)
    if weight < 0.5:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    verdict = Verdict.FAIL if weight >= 2.5 else Verdict.WARN if weight >= 1.5 else Verdict.UNSURE
    return Symptom(
        name=NAME,
        verdict=verdict,
        claim=f"{claim} Standardise each column on the training part.",
        where=("inputs",),
        suggests={"unscaled_input": weight},
        estimates=estimates,
    )


def _weight(steeper: Estimate, uneven: Estimate, louder: Estimate) -> float:
    """Return the evidence in nats; up to 300 times the curvature trains well, as pixels from 0 to 16 do.

    What varies by a sixtieth of a deviation still speaks up, as sparse columns do.
    """
    large = 1.5 * (steeper.low - 2.5)
    small = 1.5 * (-louder.high - 3.5)
    crooked = 1.2 * (uneven.low - 2.2) if steeper.low > 0.5 else 0.0
    return max(0.0, min(6.0, large), min(4.0, small), min(3.0, crooked))


def _interval(columns: Tensor) -> tuple[Estimate, Estimate, Estimate]:
    """Return the three logarithms, each with the range of four parts of the samples as its interval."""
    parts = [part for part in columns.chunk(4) if len(part) >= 8] or [columns]
    if columns.shape[1] > _MOST_COLUMNS:
        parts = [columns]
    whole = _against_standardised(columns)
    each = [_against_standardised(part) for part in parts] if len(parts) > 1 else [whole]

    def estimate(k: int) -> Estimate:
        values = [whole[k], *(one[k] for one in each)]
        low, high = min(values), max(values)
        return Estimate(value=whole[k], low=low, high=high, n=len(columns), method="range of four parts")

    return estimate(0), estimate(1), estimate(2)


def _against_standardised(columns: Tensor) -> tuple[float, float, float]:
    """Return logarithms of curvature, unevenness and variation, each relative to standardised columns."""
    spread = columns.std(0)
    moving = spread > 1e-9 * columns.abs().max().clamp_min(1e-12)
    plain = columns[:, moving]
    if plain.shape[1] == 0:
        return 0.0, 0.0, 0.0
    centred = plain - plain.mean(0)
    best = _eigenvalues(_with_bias(centred / spread[moving]))
    steeper = math.log10(_eigenvalues(_with_bias(columns))[0] / best[0])
    uneven = math.log10(_eigenvalues(_with_bias(plain))[1]) - math.log10(best[1])
    louder = math.log10(_eigenvalues(centred)[0] / _eigenvalues(centred / spread[moving])[0])
    return steeper, uneven, louder


def _with_bias(columns: Tensor) -> Tensor:
    return torch.cat([columns, torch.ones(len(columns), 1, dtype=columns.dtype)], 1)


def _eigenvalues(columns: Tensor) -> tuple[float, float]:
    """Return the largest eigenvalue of the second moments, and its ratio to the middle one."""
    n, many = columns.shape
    moments = columns.T @ columns / n if many <= n else columns @ columns.T / n
    values = torch.linalg.eigvalsh(moments).flip(0).clamp_min(0)
    largest = max(float(values[0]), 1e-300)
    middle = max(float(values[len(values) // 2]), 1e-9 * largest)
    return largest, largest / middle
