"""The advice of the articles: every bit can be tried, or says why not; and what trials teach is counted."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.advice import ADVICE, BARE, PLANS, experience, tried
from benchmarks.treatments import sick_plans

from equipoise.fit.fit import fit
from equipoise.run.what import plan as plan_of
from equipoise.treat.catalogue import treatment_named
from equipoise.trial.paired import paired_trial
from equipoise.trial.rule import Rule


@pytest.mark.parametrize("advice", ADVICE, ids=[one.id for one in ADVICE])
def test_advice_is_treatments_or_a_remark(advice):
    assert bool(advice.treatments) != bool(advice.remark)
    for name in advice.treatments:
        assert treatment_named(name).id == name


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_can_be_bared_and_much_can_be_done_to_it(name):
    plan = plan_of(name).replace(**BARE)
    done = 0
    for advice in ADVICE:
        for treatment in advice.treatments:
            try:
                treatment_named(treatment).apply(plan.replace(**advice.instead))
            except ValueError:
                continue
            done += 1
    assert done >= 20


def test_what_a_plan_has_not_is_refused_before_training():
    recurrence = next(one for one in ADVICE if one.id == "recurrence")
    assert tried(plan_of("wine"), {}, "lstm", recurrence) == {"refused": "the plan has no network.cell"}


def test_experience_counts_trials_on_the_score():
    plan = plan_of("wine").replace(recipe__epochs=4, recipe__patience=None, recipe__learning_rate=1e-5)
    trial = paired_trial(plan, treatment_named("learning-rate-search"), rule=Rule(looks=(6,))).plain()
    trials = {
        "wine/a/learning-rate-search/": trial,
        "iris/a/learning-rate-search/": trial | {"outcome": "no difference"},
        "wine/b/learning-rate-search/input-noise": trial,
        "wine/c/lstm/": {"refused": "no"},
    }
    assert trial["outcome"] == "adopted"
    assert json.loads(json.dumps(experience({"trials": trials}))) == {"learning-rate-search": [1, 2]}


def test_the_sick_plans_are_sick():
    scores = {name: fit(plan, 1).score for name, plan in sick_plans().items() if name != "overfitted-on-100"}
    assert max(scores.values()) < 0.4
