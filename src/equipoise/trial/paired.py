"""Train with and without one difference on the same seeds, and say whether it helps: `equipoise.paired_trial`."""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.data_plan import TrainingPart
from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, Progress, silent
from equipoise.core.treatment import Treatment
from equipoise.core.trial import Trial
from equipoise.data.samples import Splits
from equipoise.fit.cohort import Member, fit_members
from equipoise.fit.fitted import Fit
from equipoise.fit.reading import read_splits
from equipoise.stats.metrics import score_name
from equipoise.stats.paired import sign_flip_interval
from equipoise.trial.cost import at_cost, epoch_cost
from equipoise.trial.rule import Judgement, Rule, judge

Measure = Callable[[Fit], float]
"""Reads a number off a trained network, not from its test part; higher is better."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The trainings of one seed.

    Attributes:
        untreated: As the plan is.
        treated: With the difference, at the cost of the untreated one.
        longest: With the difference, in as many epochs as the treated plan says.
    """

    untreated: Fit
    treated: Fit
    longest: Fit


def paired_trial(
    plan: Plan,
    treatment: Treatment,
    seeds: Sequence[int] | None = None,
    *,
    rule: Rule | None = None,
    guards: Mapping[str, Measure] | None = None,
    measure: tuple[str, Measure] | None = None,
    untreated: Mapping[int, Fit] | None = None,
    data: Any = None,
    trust: bool = False,
    folder: Path | None = None,
    on_progress: Listener = silent,
) -> Trial:
    """Return whether a treatment helps a plan.

    For every seed the plan is trained as it is and treated: the same split, the same random streams, one difference. A
    seed draws split, initialisation and order anew, so that the p-value speaks of the problem and not of one split.
    Where a treated epoch costs another number of operations there are more or fewer of them, so that both arms cost
    the same; what the treatment does in as many epochs is reported beside it. All trainings up to the next look are one
    cohort, side by side where that is faster. Networks are compared by their validation
    score, and a training that breaks has a score of 0, or of the worst; the test part is never read.

    Args:
        plan: The plan.
        treatment: The difference.
        seeds: Seeds of the pairs, in order, as many as the last look of the rule; without them, from the plan's on.
        rule: When to decide, and what.
        guards: By name, a measure of what must not get worse; the rule has the margin of each.
        measure: Name and measure of what is compared instead of the score.
        untreated: Trainings of `plan` that are there already, by seed.
        data: For a plan that was made from data in Python: the same data again.
        trust: Whether a foreign network's file may be unpickled.
        folder: Where trainings are kept, so that the same trial, cut off and made again, does not repeat them.
        on_progress: Told before every look, and of the trainings in between.

    Raises:
        ValueError: The treatment cannot be done to this plan; too few seeds; a guard without measure or margin.
        KeyboardInterrupt: A training was interrupted; what it was is not counted.
    """
    rule = Rule() if rule is None else rule
    chosen = _seeds(plan, seeds, rule)
    measures = _measures(rule, guards or {})
    metric, compared = measure or ("", _score)
    arms = _Arms(plan, treatment, data, trust, folder)
    pairs: list[Pair] = []
    for planned in rule.looks:
        note = f"{treatment.id}: {planned} seeds before the next look"
        on_progress(Progress("trial", len(pairs), len(chosen), note))
        pairs += arms.pairs(chosen[len(pairs) : planned], untreated or {}, on_progress)
        judgement = judge(rule, _differences(pairs, compared), _guarded(pairs, measures))
        if judgement.outcome is not None:
            break
    on_progress(Progress("trial", len(pairs), len(chosen), f"{treatment.id}: {judgement.outcome}", finished=True))
    return _record(treatment, chosen[: len(pairs)], pairs, rule, judgement, arms.ratio, metric, compared)


class _Arms:
    """A plan with and without a difference; all trainings up to the next look are one cohort.

    Attributes:
        ratio: Counted cost of a treated epoch by that of an untreated one; known once pairs were trained.
    """

    def __init__(self, plan: Plan, treatment: Treatment, data: Any, trust: bool, folder: Path | None) -> None:
        self._plan = plan
        self._treated = treatment.apply(plan)
        self._equal = self._treated if treatment.longer else None
        self._data = data
        self._trust = trust
        self._folder = folder
        self.ratio = 1.0

    def pairs(self, seeds: Sequence[int], known: Mapping[int, Fit], on_progress: Listener) -> list[Pair]:
        """Return the pairs of some seeds; untreated trainings that are known are not repeated."""
        members: list[Member] = []
        for seed in seeds:
            splits, changed = self._read(seed, known)
            equal = self._at_equal_cost(splits, changed)
            members.append(Member(plan=equal, seed=seed, splits=changed))
            if equal != self._treated:
                members.append(Member(plan=self._treated, seed=seed, splits=changed))
            if seed not in known:
                members.append(Member(plan=self._plan, seed=seed, splits=splits))
        kept = None if self._folder is None else self._folder / f"seeds-from-{seeds[0]}"
        cohort = fit_members(members, trust=self._trust, folder=kept, resume=kept is not None, on_progress=on_progress)
        done = iter(cohort.members)
        return [self._pair(seed, done, known) for seed in seeds]

    def _pair(self, seed: int, done: Iterator[Fit], known: Mapping[int, Fit]) -> Pair:
        treated = next(done)
        longest = treated if self._equal == self._treated else next(done)
        return Pair(known[seed] if seed in known else next(done), treated, longest)

    def _read(self, seed: int, known: Mapping[int, Fit]) -> tuple[Splits, Splits]:
        there = known.get(seed)
        splits = there.splits if there else read_splits(self._plan, seed, data=self._data, trust=self._trust)
        if self._treated.data == self._plan.data and self._plan.data.training == TrainingPart():
            return splits, splits  # else the networks of each arm may have a say in its training part
        return splits, read_splits(self._treated, seed, data=self._data, trust=self._trust)

    def _at_equal_cost(self, splits: Splits, changed: Splits) -> Plan:
        """Return the treated plan with epochs that cost what the untreated ones do, counted on the first seed."""
        if self._equal is None:
            cost = epoch_cost(self._plan, splits, trust=self._trust)
            self.ratio = epoch_cost(self._treated, changed, trust=self._trust) / cost
            self._equal = at_cost(self._treated, self.ratio * self._treated.recipe.epochs / self._plan.recipe.epochs)
        return self._equal


def _record(
    treatment: Treatment,
    seeds: Sequence[int],
    pairs: list[Pair],
    rule: Rule,
    judgement: Judgement,
    ratio: float,
    metric: str,
    compared: Measure,
) -> Trial:
    same = all(pair.treated is pair.longest for pair in pairs)
    long = [Pair(pair.untreated, pair.longest, pair.longest) for pair in pairs]
    return Trial(
        treatment=treatment.id,
        metric=f"validation {metric or score_name(pairs[0].untreated.splits.signature.task)}",
        seeds=tuple(seeds),
        differences=tuple(_differences(pairs, compared)),
        effect=judgement.effect,
        at_equal_steps=None if same else sign_flip_interval(np.array(_differences(long, compared))),
        p_value=judgement.look.p_value,
        level=rule.level,
        margin=rule.margin,
        cost_ratio=ratio,
        seconds=(
            statistics.median(pair.untreated.seconds for pair in pairs),
            statistics.median(pair.treated.seconds for pair in pairs),
        ),
        guards=judgement.guards,
        outcome=judgement.outcome or "unsure",
        reason=f"{judgement.because}. The rule: {rule.said()}.",
    )


def _score(done: Fit) -> float:
    return done.score


def _differences(pairs: Sequence[Pair], measure: Measure) -> list[float]:
    """Return treated minus untreated; one that gave no number counts as 0, or as the worst if that is less."""
    before, after = [measure(pair.untreated) for pair in pairs], [measure(pair.treated) for pair in pairs]
    worst = min([0.0, *(value for value in (*before, *after) if math.isfinite(value))])

    def told(value: float) -> float:
        return value if math.isfinite(value) else worst

    return [told(two) - told(one) for one, two in zip(before, after, strict=True)]


def _guarded(pairs: Sequence[Pair], measures: Mapping[str, Measure]) -> dict[str, Sequence[float]]:
    return {name: _differences(pairs, measure) for name, measure in measures.items()}


def _seeds(plan: Plan, seeds: Sequence[int] | None, rule: Rule) -> tuple[int, ...]:
    most = rule.looks[-1]
    chosen = tuple(range(plan.seed, plan.seed + most)) if seeds is None else tuple(seeds)
    if len(chosen) < most or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"got {len(chosen)} seeds, {len(set(chosen))} of them different; expected {most} different ones, as many "
            "as the last look. Give more seeds, or a rule with fewer looks."
        )
    return chosen[:most]


def _measures(rule: Rule, guards: Mapping[str, Measure]) -> Mapping[str, Measure]:
    if set(guards) != set(rule.guards):
        raise ValueError(
            f"got measures for {sorted(guards)} and margins for {sorted(rule.guards)}; expected the same guards. Give "
            "each one both."
        )
    return guards
