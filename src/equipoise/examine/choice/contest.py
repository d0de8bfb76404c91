"""Candidates against the plan's own choice: tuned alike, shown side by side, the best rival tested on fresh seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from equipoise.core.estimate import Estimate
from equipoise.core.plan import Plan
from equipoise.data.samples import Splits
from equipoise.examine.question import Context
from equipoise.examine.retraining import divisions, other_seeds, train
from equipoise.fit.cohort import Member
from equipoise.fit.fitted import Fit
from equipoise.fit.optimizers import build_stepper
from equipoise.fit.prepare import check_plan
from equipoise.networks.build import build
from equipoise.stats.intervals import mean_score, paired_difference
from equipoise.stats.paired import sign_flip_interval, sign_flip_p
from equipoise.trial.cost import at_cost, epoch_cost

LONGEST = 4
"""A candidate whose epochs are cheaper gets more of them, but at most so many times the plan's own."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One choice in one or more settings, of which the best is taken.

    Attributes:
        name: The choice in a word, such as `adamw`.
        settings: What distinguishes each setting, such as a learning rate; as many as plans.
        plans: The plan with the choice made, in each setting.
    """

    name: str
    settings: tuple[str, ...]
    plans: tuple[Plan, ...]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How many seeds each stage has.

    Attributes:
        tuned: Seeds by which the setting of each candidate is chosen.
        shown: Further seeds on which all are compared, for the table and to choose the best rival.
        tested: Further seeds on which that rival meets the plan's own choice; six can reject at 5 %.
    """

    tuned: int = 1
    shown: int = 3
    tested: int = 8

    def trainings(self, candidates: Sequence[Candidate]) -> int:
        """Return how many networks are trained."""
        settings = sum(len(one.plans) for one in candidates if len(one.plans) > 1)
        return self.tuned * settings + self.shown * (1 + len(candidates)) + 2 * self.tested


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the table.

    Attributes:
        name, setting: The choice, and the setting that was chosen for it.
        plan: The plan with it, at the cost of the plan's own.
        score: Mean validation score over the shown seeds.
        apart: The same minus that of the plan's own, in pairs.
    """

    name: str
    setting: str
    plan: Plan
    score: Estimate
    apart: Estimate


@dataclass(frozen=True, slots=True)
class Contest:
    """What came of it.

    Attributes:
        own: Mean validation score of the plan as it is, over the shown seeds.
        entries: The candidates, best first.
        rival: The best of them that is not the plan itself.
        advantage: Its score minus the plan's own on seeds that chose nothing, by sign flips.
        p_value: Exact two-sided p of that difference.
        how: How the data were divided, in a sentence.
    """

    own: Estimate
    entries: tuple[Entry, ...]
    rival: Entry
    advantage: Estimate
    p_value: float
    how: str


def possible(candidates: Sequence[Candidate], splits: Splits) -> tuple[tuple[Candidate, ...], dict[str, str]]:
    """Return the candidates that can be trained on these data, and for the others the reason why not."""
    kept: list[Candidate] = []
    left_out: dict[str, str] = {}
    for one in candidates:
        try:
            plan = one.plans[0]
            network = build(plan.network, splits.signature, splits.preprocessing, plan.seed)
            check_plan(plan, network)
            build_stepper(plan.recipe, network, next(network.parameters()).device)
        except ValueError as reason:
            left_out[one.name] = str(reason).partition("; expected")[0]
        else:
            kept.append(one)
    return tuple(kept), left_out


def at_equal_cost(candidates: Sequence[Candidate], fit: Fit) -> tuple[Candidate, ...]:
    """Return the candidates with as many epochs as cost what the plan's own do, at most `LONGEST` times as many."""
    own = epoch_cost(fit.plan, fit.splits)
    most = LONGEST * fit.plan.recipe.epochs

    def fitted(plan: Plan, ratio: float) -> Plan:
        equal = at_cost(plan, ratio)
        return equal if equal.recipe.epochs <= most else plan.replace(recipe__epochs=most)

    made: list[Candidate] = []
    for one in candidates:
        ratio = epoch_cost(one.plans[0], fit.splits) / own
        made.append(Candidate(one.name, one.settings, tuple(fitted(plan, ratio) for plan in one.plans)))
    return tuple(made)


def hold(candidates: Sequence[Candidate], fit: Fit, protocol: Protocol, context: Context) -> Contest:
    """Return the outcome of a contest between candidates and the plan of a fit.

    Args:
        candidates: At least one that can be trained; see `possible`.
        fit: The plan's own training.
        protocol: How many seeds each stage has.
        context: Told how far it is.
    """
    stages = np.cumsum([protocol.tuned, protocol.shown, protocol.tested])
    seeds = other_seeds(fit, int(stages[-1]))
    tuning, showing, testing = seeds[: stages[0]], seeds[stages[0] : stages[1]], seeds[stages[1] :]
    scores = _scorer(fit, context)
    chosen = [one for one in _tuned(candidates, tuning, scores) if one[2] != fit.plan]
    plans = [fit.plan, *(plan for _, _, plan in chosen)]
    shown = scores(plans, showing)
    entries = [
        Entry(name, setting, plan, mean_score(shown[k]), paired_difference(shown[k], shown[0]))
        for k, (name, setting, plan) in enumerate(chosen, start=1)
    ]
    entries.sort(key=lambda one: -one.score.value)
    rival = entries[0]
    fresh = scores([fit.plan, rival.plan], testing)
    apart = fresh[1] - fresh[0]
    _, how = divisions(fit, testing[:1])
    return Contest(mean_score(shown[0]), tuple(entries), rival, _advantage(apart, fit), sign_flip_p(apart), how)


def _advantage(apart: np.ndarray, fit: Fit) -> Estimate:
    """Return the mean of paired differences with its interval; ties are no surer than the samples behind them.

    Where no seed shows a difference, shares of samples may still differ by the rule of three.
    """
    found = sign_flip_interval(apart)
    if np.any(apart) or not fit.splits.signature.task.classifies:
        return found
    least = 3 / (len(apart) * len(fit.splits.validation))
    return found.replace(low=-least, high=least)


Scores = Callable[[Sequence[Plan], Sequence[int]], np.ndarray]
"""Validation scores of plans under seeds (plans, seeds)."""


def _scorer(fit: Fit, context: Context) -> Scores:
    def scores(plans: Sequence[Plan], seeds: Sequence[int]) -> np.ndarray:
        data, _ = divisions(fit, seeds)
        members = [
            Member(plan=plan, seed=seed, splits=splits)
            for plan in plans
            for seed, splits in zip(seeds, data, strict=True)
        ]
        found = np.array([one.score for one in train(members, context.on_progress)]).reshape(len(plans), len(seeds))
        known = found[np.isfinite(found)]
        # A training that breaks has no score; it counts as the worst of all, and as 0 at most.
        return np.where(np.isfinite(found), found, min(0.0, float(known.min()) if known.size else 0.0))

    return scores


def _tuned(candidates: Sequence[Candidate], seeds: Sequence[int], scores: Scores) -> list[tuple[str, str, Plan]]:
    """Return each candidate with the setting and plan that score best; the first of equals."""
    several = [one for one in candidates if len(one.plans) > 1]
    plans = [plan for one in several for plan in one.plans]
    found = iter(scores(plans, seeds).mean(1)) if plans else iter(())
    best = {one.name: int(np.argmax([next(found) for _ in one.plans])) for one in several}
    picked = [(one, best.get(one.name, 0)) for one in candidates]
    return [(one.name, one.settings[k], one.plans[k]) for one, k in picked]
