"""How large trials are, against simulation; and what guards measure, by hand."""

import math

import numpy as np
import pytest
import torch

from equipoise.core.signature import Task
from equipoise.fit.fit import fit
from equipoise.run.what import plan as plan_of
from equipoise.stats.discovery import next_level
from equipoise.treat.guards import PROBABILITIES, WORST_CLASS, guard_margins, guards_for
from equipoise.treat.size import LADDER, LARGEST, SMALLEST, affordable_looks, margin_for
from equipoise.trial.rule import Rule, judge


def test_more_seeds_where_the_budget_has_room_for_more_trials():
    assert [affordable_looks(fits) for fits in (10_000, 208, 207, 70, 69, 24, 23, 12, 11)] == [
        *((6, 10, 16),) * 2,
        *((6, 10),) * 2,
        *((6, 8),) * 2,
        *((6,),) * 2,
        (),
    ]
    assert affordable_looks(1000, 12) == (6, 10, 12)
    assert affordable_looks(1000, 6) == (6,)
    assert affordable_looks(20, 12) == ()


@pytest.mark.parametrize("looks", [looks for looks, _ in LADDER])
def test_trials_of_nothing_mostly_say_no_difference(looks):
    """The margin is made so that 80 % do, for arms that scatter independently."""
    rng, spread, seeds = np.random.default_rng(0), 0.006, looks[-1]
    said = []
    for _ in range(120):
        untreated, treated = rng.normal(0.9, spread, (2, seeds))
        margin = margin_for([0.9 - spread / math.sqrt(2), 0.9 + spread / math.sqrt(2)], seeds)
        rule = Rule(margin=margin, looks=(seeds,))
        said.append(judge(rule, (treated - untreated).tolist(), {}).outcome)
    assert 0.68 < said.count("no difference") / len(said) < 0.92
    assert said.count("adopted") <= 8


def test_margins_stay_within_their_bounds():
    assert margin_for([0.9, 0.9, 0.9], 16) == SMALLEST
    assert margin_for([0.1, 0.9, 0.5], 16) == LARGEST
    assert margin_for([math.nan, -math.inf], 6) == SMALLEST
    assert margin_for([-math.inf, 0.9], 6) == LARGEST


def test_guards_of_a_classifier_by_hand():
    plan = plan_of("wine").replace(recipe__epochs=2, recipe__patience=None)
    fits = {seed: fit(plan, seed) for seed in range(2)}
    guards = guards_for(fits[0].splits.signature.task)
    assert set(guards) == {WORST_CLASS, PROBABILITIES}
    for one in fits.values():
        inputs, targets = one.splits.validation.batch(torch.arange(len(one.splits.validation)))
        probability = one.network.answer(inputs).detach().numpy()
        right = probability.argmax(1) == targets.numpy()
        assert guards[WORST_CLASS](one) == min(right[targets.numpy() == k].mean() for k in range(3))
        squared = ((probability - np.eye(3)[targets.numpy()]) ** 2).sum(1)
        assert guards[PROBABILITIES](one) == pytest.approx(-squared.mean())
    margins = guard_margins(guards, fits)
    apart = abs(guards[WORST_CLASS](fits[0]) - guards[WORST_CLASS](fits[1])) / math.sqrt(2)
    assert margins[WORST_CLASS] == pytest.approx(max(0.05, 2 * apart), abs=1e-4)


def test_guards_of_a_regressor_watch_its_largest_errors():
    plan = plan_of("linear-regression").replace(recipe__epochs=1, data__n=100)
    done = fit(plan, 0)
    (guard,) = guards_for(done.splits.signature.task).values()
    inputs, targets = done.splits.validation.batch(torch.arange(len(done.splits.validation)))
    error = (done.network.answer(inputs).detach() - targets).abs() / targets.std(unbiased=False)
    assert guard(done) == pytest.approx(-float(error.quantile(0.95)), rel=1e-4)
    assert guard_margins({"x": guard}, {0: done}) == {"x": 0.0}


def test_other_tasks_have_no_guards():
    assert guards_for(Task(kind="clustering", clusters=3)) == {}


@pytest.mark.parametrize(("looks", "trials"), LADDER[1:])
def test_each_trial_that_a_budget_has_room_for_can_prove_something(looks, trials):
    level = next_level([False] * (trials - 1))
    assert judge(Rule(level, looks=looks), [0.1] * looks[-1], {}).outcome == "adopted"
