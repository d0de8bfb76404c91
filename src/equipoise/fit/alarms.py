"""When a stream of losses says that something broke: one that is not finite, a spike that stays, a sustained climb."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from statistics import fmean, median, variance
from typing import Any, Self

REFERENCE = 256
"""What is usual is read from at most so many of the last losses."""

FEWEST = 8
"""So many losses must be known before anything but their finiteness is judged."""

DEVIATIONS = 6.0
"""A loss stands out when it lies so many robust standard deviations above what is usual."""

LOST = 0.5
"""Share of all progress (first level to best level) that must be lost before a raised loss matters."""

HOLD = 32
"""A suspicion is decided by at least so many further losses, so a spike that is over by then is left alone."""

CLIMB = 192
"""A loss that stays above `LOST` of its progress for so many steps is diverging, however slowly it got there."""

BLOCK = 32
"""Best levels and improvements are medians of so many losses."""

SURE = 5.0
"""A suspicion is confirmed at so many standard deviations of the test (one-sided p = 3e-7)."""

SURER = 6.0
"""The same for a climb (p = 1e-9), whose reference is the best of many blocks."""

NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


class Trouble(StrEnum):
    """What went wrong."""

    NOT_FINITE = "not-finite"
    SPIKE = "spike"
    DIVERGENCE = "divergence"
    COLLAPSE = "collapse"
    UNCURED = "uncured"  # a correction was made, and the loss did not come back


@dataclass(frozen=True, slots=True)
class Alarm:
    """Trouble that asks for an act.

    Attributes:
        trouble: What kind.
        onset: Step, from 1, at which it began as far as that can be told.
        loss: Loss level that was seen.
        usual: Loss level that was usual before.
        spread: Robust standard deviation of single losses then.
    """

    trouble: Trouble
    onset: int
    loss: float
    usual: float
    spread: float

    def said(self) -> str:
        """Return one sentence with its numbers: what was seen."""
        usual = "" if math.isnan(self.usual) else f" (usual: {self.usual:.4g})"
        since = f"From step {self.onset:,} on"
        return {
            Trouble.NOT_FINITE: f"{since} losses or gradients were not finite{usual}.",
            Trouble.SPIKE: f"{since} the loss stayed at {self.loss:.4g}{usual}.",
            Trouble.DIVERGENCE: f"{since} the loss climbed, and stayed at {self.loss:.4g}{usual}.",
            Trouble.COLLAPSE: f"{since} the network said the same to every sample, at a loss of {self.loss:.4g}.",
            Trouble.UNCURED: f"{since} the loss did not come down from {self.loss:.4g}{usual}.",
        }[self.trouble]


@dataclass(slots=True)
class LossWatch:
    """Judges losses as they come, a handful at a time; keeps what it needs to know of the past.

    What is usual is a median and a median absolute deviation (Rousseeuw and Croux, JASA 1993), which single batches do
    not move. A handful whose median lies `DEVIATIONS` deviations above the usual and undoes `LOST` of all progress only
    raises a suspicion; the losses after it decide, by a rank-sum test (Mann and Whitney, 1947) and a test of means
    against the usual ones, so that neither heavy tails nor ties nor the choice of the handful alarm: at `SURE`
    deviations, a few times in ten million suspicions of a loss that did not change.

    Attributes:
        birth: The first loss: that of the untouched weights.
        heard: Losses heard so far.
        lowest: The lowest of those after the first.
        first: Median of the first handful.
        recent: The last losses that were not out of the ordinary.
        block: Kept losses that do not fill a block yet.
        best: Lowest median of a block.
        best_block: The losses of that block.
        improved: The level that counts as the last improvement.
        improved_step: Its step.
        raised_since: Onset of a raised loss that is not yet confirmed; 0 without one.
        fresh: Losses since the suspicion.
        climb: Losses of the blocks that lie above `LOST` of the progress, up to now.
    """

    birth: float = math.nan
    heard: int = 0
    lowest: float = math.inf
    first: float = math.nan
    recent: list[float] = field(default_factory=list)
    block: list[float] = field(default_factory=list)
    best: float = math.inf
    best_block: list[float] = field(default_factory=list)
    improved: float = math.inf
    improved_step: int = 0
    raised_since: int = 0
    fresh: list[float] = field(default_factory=list)
    climb: list[float] = field(default_factory=list)

    @property
    def usual(self) -> float:
        """Median of the recent losses; the first loss, or NaN, before there are any."""
        return median(self.recent) if self.recent else self.birth

    @property
    def spread(self) -> float:
        """Robust standard deviation of the recent losses; 0 with fewer than two."""
        return deviation(self.recent)

    @property
    def suspicious(self) -> bool:
        """Whether a raised loss waits for confirmation."""
        return self.raised_since > 0

    def hear(self, losses: Sequence[float], step: int, *, only_finite: bool = False) -> Alarm | None:
        """Take in the losses of the steps up to `step` and return what is wrong, if anything is.

        Args:
            losses: In order.
            step: Step of the last of them.
            only_finite: Whether a loss is only wrong when it is not finite.
        """
        if not losses:
            return None
        first_step = step - len(losses) + 1
        if math.isnan(self.birth) and math.isfinite(losses[0]):
            self.birth = losses[0]
        if not math.isfinite(sum(losses)):
            bad = next((k for k, loss in enumerate(losses) if not math.isfinite(loss)), len(losses) - 1)
            return Alarm(Trouble.NOT_FINITE, first_step + bad, losses[bad], self.usual, self.spread)
        self.lowest = min([self.lowest, *(losses if self.heard else losses[1:])])
        self.heard += len(losses)
        if only_finite:
            self.recent = [*self.recent, *losses][-REFERENCE:]
            return None
        level = median(losses)
        best, first = float(self.best), float(self.first)  # python's own: infinity less infinity is no warning
        if not level <= best + LOST * (first - best):  # else it is not raised, whatever is usual
            usual, spread = self._reference(losses)
            limit = max(usual + DEVIATIONS * spread, self._harmful(spread))
            if len(losses) + len(self.recent) >= FEWEST and level > limit:
                return self._raised(losses, first_step, limit)
        if math.isnan(self.first):
            self.first = level
        kept = [*self.fresh, *losses]  # a suspicion that was not confirmed was noise, of which there may be more
        self.raised_since = 0
        self.fresh.clear()
        return self._keep(kept, step)

    def near_best(self) -> bool:
        """Return whether the last losses lie where the best ones lay, so that the weights are worth keeping."""
        if not math.isfinite(self.best):
            return len(self.recent) >= FEWEST
        last = median(self.recent[-BLOCK // 2 :])
        return not self.suspicious and not self.climb and last <= self.best + 0.5 * deviation(self.best_block)

    def falls(self) -> bool:
        """Return whether the last third of the recent losses lies below the first third by over 2 deviations."""
        third = len(self.recent) // 3
        return third >= FEWEST and above(self.recent[-third:], self.recent[:third]) > 2

    def state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: list(value) if isinstance(value, list) else value for name, value in values.items()}

    @classmethod
    def restored(cls, values: dict[str, Any]) -> Self:
        """Return the watch of a `state`."""
        watch = cls(**values)
        return cls(**watch.state())

    def _reference(self, losses: Sequence[float]) -> tuple[float, float]:
        """Return what is usual; right after birth, twice the first loss, since its own scatter is not known yet."""
        if len(self.recent) >= 2 * FEWEST:
            return self.usual, max(self.spread, 1e-3 * abs(self.usual))
        return self.birth + abs(self.birth), max(deviation(losses), self.spread)

    def _harmful(self, spread: float) -> float:
        if not math.isfinite(self.best):
            return -math.inf
        return self.best + LOST * max(self.first - self.best, DEVIATIONS * spread)

    def _raised(self, losses: Sequence[float], first_step: int, limit: float) -> Alarm | None:
        if not self.raised_since:
            self.raised_since = first_step + next(k for k, loss in enumerate(losses) if loss > limit)
            self.fresh = []
            if first_step + len(losses) - self.raised_since < 2 * HOLD:
                return None
            # A long handful is halved: the first half raises the suspicion, the second one decides.
            losses = losses[len(losses) // 2 :]
        self.fresh = [*self.fresh, *losses][-REFERENCE:]
        if len(self.fresh) < HOLD or not self._confirmed():
            return None
        return Alarm(Trouble.SPIKE, self.raised_since, median(self.fresh), self.usual, self.spread)

    def _confirmed(self) -> bool:
        if len(self.recent) >= 2 * FEWEST:
            return above(self.recent, self.fresh) > SURE
        usual, spread = self._reference(self.fresh)
        return median(self.fresh) > usual + DEVIATIONS * spread and min(self.fresh) > self.birth

    def _keep(self, losses: list[float], step: int) -> Alarm | None:
        self.recent = [*self.recent, *losses][-REFERENCE:]
        self.block.extend(losses)
        if len(self.block) < BLOCK:
            return None
        block = list(self.block)
        self.block.clear()
        level = median(block)
        if level < self.improved - 0.25 * deviation(block):
            self.improved, self.improved_step = level, step
        if level < self.best:
            self.best, self.best_block = level, block
        return self._climb(block, level, step)

    def _climb(self, block: list[float], level: float, step: int) -> Alarm | None:
        progress, spread = self.first - self.best, deviation(self.best_block)
        if not (level > self.best + max(LOST * progress, 2 * spread) and progress > spread):
            self.climb = []
            return None
        self.climb = [*self.climb, *block][-CLIMB:]
        if len(self.climb) < CLIMB or above(self.best_block, self.climb) < SURER:
            return None
        return Alarm(Trouble.DIVERGENCE, max(1, step - CLIMB + 1), level, self.best, spread)


def above(reference: Sequence[float], fresh: Sequence[float]) -> float:
    """Return by how many standard deviations `fresh` lies above `reference`: in ranks or in means, whichever is more.

    Ranks tell where single losses are heavy-tailed, means where they take few values (Welch, Biometrika 1947).
    """
    largest = max(map(abs, (*reference, *fresh))) or 1.0  # squares of a loss that explodes would overflow
    one, other = [value / largest for value in reference], [value / largest for value in fresh]
    error = math.sqrt(variance(one) / len(one) + variance(other) / len(other))
    means = (fmean(other) - fmean(one)) / error if error > 0 else 0.0
    return max(means, rank_deviations(reference, fresh))


def rank_deviations(reference: Sequence[float], fresh: Sequence[float]) -> float:
    """Return by how many standard deviations of the rank-sum statistic `fresh` ranks above `reference`."""
    n, m = len(reference), len(fresh)
    ordered = sorted([(value, False) for value in reference] + [(value, True) for value in fresh])
    ranks, ties, start = 0.0, 0.0, 0
    while start < len(ordered):
        stop = start
        while stop < len(ordered) and ordered[stop][0] == ordered[start][0]:
            stop += 1
        count = stop - start
        ties += count**3 - count
        ranks += (start + stop + 1) / 2 * sum(is_fresh for _, is_fresh in ordered[start:stop])
        start = stop
    total = n + m
    spread = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    return (ranks - m * (total + 1) / 2) / math.sqrt(spread) if spread > 0 else 0.0


def deviation(values: Sequence[float]) -> float:
    """Return 1.4826 times the median absolute deviation: the standard deviation, were the values normal."""
    if len(values) < 2:
        return 0.0
    middle = median(values)
    return NORMAL * median(abs(value - middle) for value in values)
