"""How large the trials of a course are: fixed before the first, from the budget and from what seeds do to the score."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

LADDER = (((6, 10, 16), 12), ((6, 10), 6), ((6, 8), 2), ((6,), 1))
"""Looks of a trial, largest first, and the number of trials that must fit the budget for it to be chosen.

Fewer than six pairs can show nothing at 5 %. Later trials of a course that has found nothing are granted less, so that
eight and then ten pairs are needed to adopt anything: few seeds are for budgets that have room for few trials. In each
of so many trials, pairs that all agree are proof.
"""

FEWEST = 6
"""Fewest seeds that can prove anything: six pairs that agree have p = 1/32."""

EXAMINATION_S, EXAMINATION_SHARE = 45.0, 0.1
"""Seconds of an examination within a course, and the largest share of the budget that it may take."""

POWER = 0.8
"""Chance with which a trial of a treatment without any effect says so."""

SMALLEST, LARGEST = 0.005, 0.03
"""A difference below the one never matters; one above the other always does."""


def affordable_looks(fits: float, seeds: int | None = None) -> tuple[int, ...]:
    """Return after how many seeds the trials of a course are looked at; empty where not one trial fits the budget.

    Args:
        fits: Trainings that fit the budget; a course needs those of the untreated plan, then as many for each trial.
        seeds: At which number of seeds the last look is, where that is wished; at least 6.
    """
    if seeds is not None:
        return (*(one for one in LADDER[0][0] if one < seeds), seeds) if 2 * seeds <= fits else ()
    for looks, trials in LADDER:
        if fits >= looks[-1] * (1 + trials):
            return looks
    return ()


def margin_for(scores: Sequence[float], seeds: int) -> float:
    """Return the smallest difference that trials of so many seeds can tell from none, within `SMALLEST` and `LARGEST`.

    Both arms scatter like the untreated scores, independently; then a treatment without effect ends `no difference`
    (two one-sided tests at 5 %) with a chance of 80 %. Arms that share splits and initial weights differ less, which
    makes it more likely.

    Args:
        scores: Scores of the untreated plan, one a seed.
        seeds: Seeds of a trial at its last look.
    """
    told = np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)  # a broken training
    spread = float(np.std(told, ddof=1)) if len(told) > 1 else 0.0
    deviations = float(stats.t.ppf(0.95, seeds - 1) + stats.t.ppf((1 + POWER) / 2, seeds - 1))
    return round(min(LARGEST, max(SMALLEST, deviations * spread * math.sqrt(2 / seeds))), 4)


def examination_s(budget_s: float) -> float:
    """Return the seconds that an examination within a course may take."""
    return min(EXAMINATION_S, EXAMINATION_SHARE * budget_s)
