"""Overfitting, underfitting and training that ends too early, from losses at evaluations."""

import math

import numpy as np
from scipy import special, stats

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict
from equipoise.vitals.detectors.detector import ALPHA

FEWEST = 6
"""Evaluations that a slope needs."""


def slope(values: np.ndarray, alpha: float) -> Estimate:
    """Return the change of a series over its length, by least squares, with an interval that allows autocorrelation.

    Residuals from a parabola (a bend is no noise) are taken for an autoregression of order one, whose coefficient is
    corrected for its bias in short series with a trend (Marriott and Pope, Biometrika 1954) and not allowed below 0;
    variance and degrees of freedom follow from the effective number of values (Bayley and Hammersley 1946). Either end
    is exceeded with probability `alpha` where values are independent, and with about ten times that where neighbours of
    a series of 20 correlate by a half and alpha is 5e-4 (simulated).

    Args:
        values: Series (k,), k at least `FEWEST`.
        alpha: Error rate of each end, in (0, 0.5).

    Raises:
        ValueError: Too few values, or some that are not finite.
    """
    flat = np.asarray(values, dtype=np.float64)
    if len(flat) < FEWEST or not np.isfinite(flat).all():
        raise ValueError(
            f"got {len(flat)} values (finite: {bool(np.isfinite(flat).all())}); expected at least {FEWEST}, all "
            "finite. Evaluate more often, and leave out what is not finite."
        )
    n = len(flat)
    time = np.linspace(-0.5, 0.5, n)
    power = float(time @ time)
    change = float(time @ flat) / power
    bend = time**2 - float((time**2).mean())
    residual = flat - flat.mean() - change * time
    residual = residual - float(residual @ bend) / float(bend @ bend) * bend
    total = float(residual @ residual)
    memory = float(residual[1:] @ residual[:-1]) / total if total > 0 else 0.0
    memory = min(0.9, max(0.0, (memory + 3 / n) / (1 - 5 / n)))
    effective = n * (1 - memory) / (1 + memory)
    error = math.sqrt(total / max(1.0, effective - 3) / power * effective / n * (1 + memory) / (1 - memory))
    half = -float(special.stdtrit(max(1.0, effective - 3), alpha)) * error
    return Estimate(
        value=change,
        low=change - half,
        high=change + half,
        n=n,
        level=1 - 2 * alpha,
        method="autoregression of order one",
    )


def overfitting_symptom(
    steps: np.ndarray, train_loss: np.ndarray, validation_loss: np.ndarray, *, alpha: float = ALPHA
) -> Symptom:
    """Return whether the validation loss rises while the training loss falls.

    From the evaluation with the lowest validation loss on: hypothesis, the validation loss does not rise or the
    training loss does not fall. Test: the slope of the validation loss (see `slope`) clears zero, error rate `alpha`
    per call, and the training loss falls by Kendall's tau, which does not mind a bend, at 5 % (intersection-union test,
    Berger 1982). That start is where chance dips too, so it is left out of the slope itself. The rise must be worth a
    change: over 5 % of the lowest validation loss by the lower end is a warning, over 20 % a failure.
    Source: Prechelt, Early stopping - but when?, 1998.

    Args:
        steps: Optimiser steps of the evaluations (k,), increasing.
        train_loss: Training loss at each of them (k,), in the same mode as the validation loss.
        validation_loss: Validation loss at each of them (k,).
        alpha: Error rate of this call.

    Raises:
        ValueError: Series of different lengths.
    """
    steps, train, held = _series(steps, train_loss, validation_loss)
    best = int(np.argmin(held)) if len(held) else 0
    after_train, after_held = train[best + 1 :], held[best + 1 :]
    if len(after_held) < FEWEST:
        # The lowest evaluation lies at the end, so nothing has risen, or not for long enough to tell.
        verdict = Verdict.PASS if len(held) - best <= 2 and len(held) >= FEWEST else Verdict.UNSURE
        return Symptom(
            name="overfitting",
            verdict=verdict,
            claim=f"The validation loss was lowest at evaluation {best + 1} of {len(held)}.",
            step=int(steps[-1]) if len(steps) else 0,
        )
    up, down = slope(after_held, alpha), slope(after_train, 0.05)
    lowest = abs(float(held[best])) or 1.0
    rise = float(np.median(after_held[-max(3, len(after_held) // 4) :]) - held[best]) / lowest
    falls = float(stats.kendalltau(np.arange(len(after_train)), after_train, alternative="less").pvalue) < 0.05
    sure = falls and up.low / lowest > 0.05
    verdict = Verdict.FAIL if sure and up.low / lowest > 0.2 else Verdict.WARN if sure else Verdict.UNSURE
    if up.high / lowest < 0.05:
        verdict = Verdict.PASS
    return Symptom(
        name="overfitting",
        verdict=verdict,
        claim=f"Since evaluation {best + 1} the validation loss changed by {up.value:+.3g} [{up.low:.3g}, "
        f"{up.high:.3g}] and the training loss by {down.value:+.3g}; it ends {rise:.0%} above its lowest.",
        estimates={"validation_rise": up, "train_change": down},
        where=("validation", "loop.epochs") if sure else (),
        suggests={"overfitting": 4.0} if sure else {},
        step=int(steps[best]),
    )


def underfitting_symptom(
    steps: np.ndarray,
    train_loss: np.ndarray,
    validation_loss: np.ndarray,
    *,
    chance: float,
    floor: float,
    alpha: float = ALPHA,
) -> Symptom:
    """Return whether the training loss itself ends far above what can be reached, and whether it still falls.

    Hypothesis: the training loss has covered half the way from chance to the floor. Test: the mean over the last
    third of the evaluations, give or take what their slope may be (see `slope`), error rate `alpha` per call. If it
    still falls, the training was too short; if it rests and validation is no worse than training, the network is too
    small (or cannot be trained).

    Args:
        steps: Optimiser steps of the evaluations (k,), increasing.
        train_loss: Training loss at each of them (k,).
        validation_loss: Validation loss at each of them (k,).
        chance: Loss of the best constant answer (entropy or variance of the targets).
        floor: Loss that can be reached, below `chance`: that of a larger model or 0.
        alpha: Error rate of this call.

    Raises:
        ValueError: Series of different lengths, or a floor that does not lie below chance.
    """
    steps, train, held = _series(steps, train_loss, validation_loss)
    if not floor < chance:
        raise ValueError(f"got floor {floor} and chance {chance}; expected a floor below chance. Check both.")
    if len(train) < FEWEST:
        return Symptom(
            name="underfitting",
            verdict=Verdict.UNSURE,
            claim=f"{len(train)} evaluations are too few for a slope; {FEWEST} are needed.",
        )
    tail = train[-max(2 * FEWEST, len(train) // 3) :]
    trend = slope(tail, alpha)
    half = (trend.high - trend.low) / 2
    level = float(tail.mean())
    way = chance - floor
    skill = _covered(level, half, chance, floor, trend)
    low = skill.high < 0.5
    falling = trend.high < 0
    gap = float(held[-len(tail) :].mean() - level)
    too_small = low and not falling and gap < 0.1 * way
    suggests = {"too_few_epochs": 3.0, "lr_too_low": 2.0} if falling else {"underfitting_capacity": 2.5}
    alarm = low and (falling or too_small)
    return Symptom(
        name="underfitting",
        verdict=Verdict.WARN if alarm else Verdict.PASS if skill.low > 0.5 else Verdict.UNSURE,
        claim=f"The training loss covered {skill.value:.0%} of the way from chance to the floor and "
        f"{'still falls' if falling else 'does not fall any more'}.",
        estimates={"skill": skill, "train_trend": trend},
        where=(("loop.epochs",) if falling else ("loss",)) if alarm else (),
        suggests=suggests if alarm else {},
        step=int(steps[-1]),
    )


def _covered(level: float, half: float, chance: float, floor: float, trend: Estimate) -> Estimate:
    """Return which share of the way from chance to the floor a level covers, give or take half a width."""
    ends = [(chance - value) / (chance - floor) for value in (level + half, level, level - half)]
    return Estimate(value=ends[1], low=ends[0], high=ends[2], n=trend.n, level=trend.level, method=trend.method)


def unfinished_symptom(losses: np.ndarray, *, remaining_steps: int = 0, alpha: float = ALPHA) -> Symptom:
    """Return whether the training ends while its loss still falls.

    Hypothesis: over the last quarter the loss does not fall by over 5 % of itself. Test: upper end of its slope (see
    `slope`, over 16 group means) below that, error rate `alpha` per call.

    Args:
        losses: Training losses (k,) in the order of their steps, k at least 64.
        remaining_steps: Steps of the budget that are still to come; a training that goes on is not judged.
        alpha: Error rate of this call.
    """
    values = np.asarray(losses, dtype=np.float64)
    values = values[np.isfinite(values)]
    tail = values[-(len(values) // 4 // 16 * 16) :] if len(values) >= 64 else np.empty(0)
    if remaining_steps > 0 or not len(tail):
        reason = f"{remaining_steps} steps are still to come" if remaining_steps > 0 else f"only {len(values)} losses"
        return Symptom(name="unfinished", verdict=Verdict.SKIPPED, claim=f"Not judged: {reason}.")
    groups = tail.reshape(16, -1).mean(1)
    trend = slope(groups, alpha)
    level = abs(float(groups.mean())) or 1.0
    share = Estimate(
        value=trend.value / level,
        low=trend.low / level,
        high=trend.high / level,
        n=16,
        level=trend.level,
        method=trend.method,
    )
    verdict = Verdict.WARN if share.high < -0.05 else Verdict.PASS if share.low > -0.05 else Verdict.UNSURE
    return Symptom(
        name="unfinished",
        verdict=verdict,
        claim=f"Over the last quarter the loss changed by {share.value:+.1%} [{share.low:.1%}, {share.high:.1%}].",
        estimates={"last_quarter_change": share},
        where=("loop.epochs",) if verdict is Verdict.WARN else (),
        suggests={"too_few_epochs": 2.0, "lr_too_low": 1.0} if verdict is Verdict.WARN else {},
    )


def _series(*given: np.ndarray) -> tuple[np.ndarray, ...]:
    arrays = tuple(np.asarray(one, dtype=np.float64).ravel() for one in given)
    if len({len(one) for one in arrays}) != 1:
        raise ValueError(
            f"got series of lengths {[len(one) for one in arrays]}; expected one length. Give one value an evaluation."
        )
    known = np.isfinite(np.stack(arrays)).all(0)
    return tuple(one[known] for one in arrays)
