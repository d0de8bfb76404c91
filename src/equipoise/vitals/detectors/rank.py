"""The rank of a representation over the training."""

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.sequential import spread


def rank_symptom(steps: np.ndarray, ranks: np.ndarray, where: str, *, needed: float, alpha: float = ALPHA) -> Symptom:
    """Return whether the rank of a representation collapsed.

    Hypothesis: ranks do not fall over the training. Test: Kendall's tau of rank against step, one-sided, exact
    (Kendall 1938), error rate `alpha` for the whole series; call it once, or divide alpha over calls. The fall is a
    fault only when the rank at the end is below half of what it was *and* below half of what the task needs: a healthy
    classifier ends with as many directions as classes, less one (Papyan, Han and Donoho, PNAS 2020), so a fall down to
    that is no collapse. A rank that ends under 1.5 where at least 2 are needed is a failure.
    Sources: Roy and Vetterli, EUSIPCO 2007 (effective rank); Kumar et al., ICLR 2021 (collapse).

    Args:
        steps: Optimiser steps (k,), increasing.
        ranks: Effective ranks (k,) at those steps, at least 1 each.
        where: Place of the representation, in the words of `Symptom.where`.
        needed: Rank that the task needs: classes less one, or the number of quantities predicted.
        alpha: Error rate of this call.

    Raises:
        ValueError: Arrays of different lengths or without values.
    """
    steps, ranks = np.asarray(steps), np.asarray(ranks, dtype=np.float64)
    if len(steps) != len(ranks) or not len(ranks):
        raise ValueError(
            f"got {len(steps)} steps and {len(ranks)} ranks; expected one rank a step, at least one. Record both."
        )
    quarter = max(1, len(ranks) // 4)
    start, end = float(np.median(ranks[:quarter])), float(np.median(ranks[-quarter:]))
    p = 1.0
    if len(ranks) >= 3 and np.ptp(ranks) > 0:
        from scipy import stats  # 45 MB that most trainings need not load

        p = float(stats.kendalltau(steps, ranks, alternative="less").pvalue)
    collapsed = p < alpha and end < 0.5 * start and end < 0.5 * needed
    verdict = Verdict.PASS if end >= 0.5 * start or end >= 0.5 * needed else Verdict.UNSURE
    if collapsed:
        verdict = Verdict.FAIL if needed >= 2 and end < 1.5 else Verdict.WARN
    return Symptom(
        name="rank-collapse",
        verdict=verdict,
        claim=f"The effective rank went from {start:.1f} to {end:.1f}; the task needs about {needed:g} (p {p:.1e}).",
        estimates={
            "rank_at_start": spread(ranks[:quarter].tolist()),
            "rank_at_end": spread(ranks[-quarter:].tolist()),
            "p": exact(p, n=len(ranks)),
        },
        where=(where,) if collapsed else (),
        suggests={"dead_layer": 1.5, "dying_relu": 1.0, "lr_too_high": 1.0, "over_regularised": 1.0}
        if collapsed
        else {},
        step=int(steps[-1]),
    )
