"""Paired trials on real trainings: what helps is adopted, what harms is not, and nothing is nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from equipoise.core.plan import Plan
from equipoise.core.stop import StopReason
from equipoise.fit.cohort import Cohort
from equipoise.fit.fit import fit
from equipoise.fit.reading import read_splits
from equipoise.run.what import plan as plan_of
from equipoise.trial.cost import at_cost, epoch_cost
from equipoise.trial.paired import paired_trial
from equipoise.trial.rule import Rule

QUICK = Rule(looks=(6,))


@dataclass(frozen=True)
class Change:
    """A treatment made of a function."""

    id: str
    change: Callable[[Plan], Plan]
    treats: tuple[str, ...] = ()
    longer: bool = False

    def apply(self, plan: Plan) -> Plan:
        return self.change(plan)


def wine(**changes: object) -> Plan:
    return plan_of("wine").replace(recipe__epochs=6, recipe__patience=None, **changes)


def rate(value: float) -> Change:
    return Change("learning-rate", lambda plan: plan.replace(recipe__learning_rate=value))


def test_a_step_that_learns_is_adopted_and_one_that_does_not_is_harmful():
    sick, cured = wine(recipe__learning_rate=1e-5), wine(recipe__learning_rate=1e-2)
    helped = paired_trial(sick, rate(1e-2), rule=QUICK)
    assert helped.outcome == "adopted"
    assert helped.effect.low > 0.1
    assert helped.p_value == 2 / 64
    assert helped.metric == "validation accuracy"
    assert helped.seeds == tuple(range(6))
    assert helped.at_equal_steps is None
    harmed = paired_trial(cured, rate(1e-5), rule=QUICK)
    assert harmed.outcome == "harmful"
    assert harmed.differences == tuple(-one for one in helped.differences)


def test_no_change_makes_no_difference_to_a_bit():
    trial = paired_trial(wine(), Change("nothing", lambda plan: plan), rule=QUICK)
    assert trial.outcome == "no difference"
    assert set(trial.differences) == {0.0}


def test_trainings_that_are_there_are_not_repeated(monkeypatch):
    plan = wine()
    done = {seed: fit(plan, seed) for seed in range(6)}
    taken = []

    def trained(members, **rest):
        taken.extend(member.plan for member in members)
        return Cohort(tuple(done[member.seed] for member in members))

    monkeypatch.setattr("equipoise.trial.paired.fit_members", trained)
    treated = plan.replace(recipe__learning_rate=1e-2)
    paired_trial(plan, rate(1e-2), rule=QUICK, untreated=done)
    assert taken == [treated] * 6


def test_a_dearer_network_gets_fewer_epochs():
    plan = wine(network__hidden=(8,))
    wide = plan.replace(network__hidden=(32,))
    splits = read_splits(plan, 0)
    ratio = epoch_cost(wide, splits) / epoch_cost(plan, splits)
    assert ratio == pytest.approx((13 * 32 + 32 * 3) / (13 * 8 + 8 * 3))
    assert at_cost(plan.replace(recipe__epochs=40), ratio).recipe.epochs == 10
    trial = paired_trial(plan, Change("wider", lambda one: one.replace(network__hidden=(32,))), rule=QUICK)
    assert trial.cost_ratio == pytest.approx(ratio)
    assert trial.at_equal_steps is not None
    assert trial.at_equal_steps.value >= trial.effect.value


def test_a_longer_training_is_compared_as_it_is():
    longer = Change("longer", lambda plan: plan.replace(recipe__epochs=30), longer=True)
    trial = paired_trial(wine(recipe__learning_rate=1e-4), longer, rule=QUICK)
    assert trial.cost_ratio == 1.0
    assert trial.outcome == "adopted"
    assert paired_trial(wine(), Change("longer", longer.change), rule=QUICK).outcome == "no difference"


def test_a_training_that_breaks_counts_as_nothing():
    plan = wine(recipe__governor=False)
    trial = paired_trial(plan, rate(1e30), rule=QUICK)
    assert trial.outcome == "harmful"
    assert max(trial.differences) < -0.5


def test_an_interrupted_training_is_not_counted(monkeypatch):
    done = fit(wine())
    interrupted = replace(done, stopped=StopReason.INTERRUPTED)
    monkeypatch.setattr("equipoise.fit.cohorts.crew.fit", lambda *_, **__: interrupted)
    with pytest.raises(KeyboardInterrupt):
        paired_trial(wine(), rate(1e-2), rule=QUICK)


def test_seeds_and_guards_are_checked():
    with pytest.raises(ValueError, match="got 3 seeds, 2 of them different; expected 6 different ones"):
        paired_trial(wine(), rate(1e-2), (0, 1, 1), rule=QUICK)
    with pytest.raises(ValueError, match=r"got measures for \['size'\] and margins for \[\]"):
        paired_trial(wine(), rate(1e-2), rule=QUICK, guards={"size": lambda done: 1.0})
