"""Train with and without one difference on the same seeds, and say whether it helps: `equipoise.paired_trial`."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, Progress, silent
from equipoise.core.stop import StopReason
from equipoise.core.treatment import Treatment
from equipoise.core.trial import Trial
from equipoise.data.samples import Splits
from equipoise.fit.fit import fit
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
    untreated: Mapping[int, Fit] | None = None,
    data: Any = None,
    trust: bool = False,
    on_progress: Listener = silent,
) -> Trial:
    """Return whether a treatment helps a plan.

    For every seed the plan is trained as it is and treated: the same split, the same random streams, one difference. A
    seed draws split, initialisation and order anew, so that the p-value speaks of the problem and not of one split.
    Where a treated epoch costs another number of operations there are more or fewer of them, so that both arms cost
    the same; what the treatment does in as many epochs is reported beside it. Networks are compared by their validation
    score, and a training that breaks has a score of 0, or of the worst; the test part is never read.

    Args:
        plan: The plan.
        treatment: The difference.
        seeds: Seeds of the pairs, in order, as many as the last look of the rule; without them, from the plan's on.
        rule: When to decide, and what.
        guards: By name, a measure of what must not get worse; the rule has the margin of each.
        untreated: Trainings of `plan` that are there already, by seed.
        data: For a plan that was made from data in Python: the same data again.
        trust: Whether a foreign network's file may be unpickled.
        on_progress: Told of every pair.

    Raises:
        ValueError: The treatment cannot be done to this plan; too few seeds; a guard without measure or margin.
        KeyboardInterrupt: A training was interrupted; what it was is not counted.
    """
    rule = Rule() if rule is None else rule
    chosen = _seeds(plan, seeds, rule)
    measures = _measures(rule, guards or {})
    treated = treatment.apply(plan)
    pairs: list[Pair] = []
    equal, ratio = treated, 1.0
    for seed in chosen:
        on_progress(Progress("trial", len(pairs), len(chosen), f"{treatment.id}: seed {seed}"))
        splits = read_splits(plan, seed, data=data)
        changed = splits if treated.data == plan.data else read_splits(treated, seed, data=data)
        if not pairs and not treatment.longer:
            ratio = epoch_cost(treated, changed) / epoch_cost(plan, splits)
            equal = at_cost(treated, ratio * treated.recipe.epochs / plan.recipe.epochs)
        known = untreated.get(seed) if untreated is not None else None
        pairs.append(_pair((plan, equal, treated), seed, (splits, changed), known, trust=trust))
        if len(pairs) in rule.looks:
            judgement = judge(rule, _differences(pairs, _score), _guarded(pairs, measures))
            if judgement.outcome is not None:
                break
    on_progress(Progress("trial", len(pairs), len(chosen), f"{treatment.id}: {judgement.outcome}", finished=True))
    return _record(treatment, chosen[: len(pairs)], pairs, rule, judgement, ratio)


def _pair(
    plans: tuple[Plan, Plan, Plan], seed: int, splits: tuple[Splits, Splits], known: Fit | None, *, trust: bool
) -> Pair:
    plan, equal, treated = plans

    def trained(one: Plan, on: Splits) -> Fit:
        done = fit(one, seed, splits=on, trust=trust)
        if done.stopped is StopReason.INTERRUPTED:
            raise KeyboardInterrupt
        return done

    at_equal_cost = trained(equal, splits[1])
    longest = at_equal_cost if equal == treated else trained(treated, splits[1])
    return Pair(trained(plan, splits[0]) if known is None else known, at_equal_cost, longest)


def _record(
    treatment: Treatment, seeds: Sequence[int], pairs: list[Pair], rule: Rule, judgement: Judgement, ratio: float
) -> Trial:
    same = all(pair.treated is pair.longest for pair in pairs)
    long = [Pair(pair.untreated, pair.longest, pair.longest) for pair in pairs]
    return Trial(
        treatment=treatment.id,
        metric=f"validation {score_name(pairs[0].untreated.splits.signature.task)}",
        seeds=tuple(seeds),
        differences=tuple(_differences(pairs, _score)),
        effect=judgement.effect,
        at_equal_steps=None if same else sign_flip_interval(np.array(_differences(long, _score))),
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
