"""When a trial decides: each outcome by hand, and how often the rule is wrong on nothing."""

import numpy as np
import pytest

from equipoise.trial.rule import Rule, judge

BETTER = [0.02, 0.03, 0.02, 0.05, 0.03, 0.04]


def test_six_seeds_that_agree_decide():
    said = judge(Rule(), BETTER, {})
    assert said.outcome == "adopted"
    assert said.effect.low > 0
    assert judge(Rule(), [-one for one in BETTER], {}).outcome == "harmful"


def test_a_guard_that_may_break_holds_the_adoption_back():
    rule = Rule(guards={"robustness": 0.01})
    assert judge(rule, BETTER, {"robustness": [0.0, 0.001, 0.0, 0.0, 0.001, 0.0]}).outcome == "adopted"
    doubt = judge(rule, BETTER, {"robustness": [0.1, -0.1, 0.05, -0.05, 0.1, -0.1]})
    assert doubt.outcome is None
    assert "robustness may be worse" in doubt.because
    broken = judge(rule, BETTER, {"robustness": [-0.2, -0.1, -0.15, -0.12, -0.2, -0.1]})
    assert broken.outcome == "harmful"
    assert "robustness got worse by more than 0.01" in broken.because


def test_nothing_is_no_difference_only_inside_the_margin():
    rng = np.random.default_rng(0)
    small = rng.normal(0, 0.002, 16).tolist()
    assert judge(Rule(), small[:6], {}).outcome is None
    assert judge(Rule(), small, {}).outcome == "no difference"
    assert judge(Rule(margin=0.0001), small, {}).outcome == "unsure"
    assert judge(Rule(), [0.0] * 16, {}).outcome == "no difference"


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_trials_of_nothing_are_seldom_adopted(level):
    rng = np.random.default_rng(1)
    rule = Rule(level=level)
    outcomes = []
    for _ in range(150):
        differences = rng.choice([-0.02, -0.01, 0.0, 0.01, 0.02], 16).tolist()  # accuracies come in steps
        said = next(one for n in rule.looks if (one := judge(rule, differences[:n], {})).outcome is not None)
        outcomes.append(said.outcome)
    slack = 3 * np.sqrt(level / 2 * (1 - level / 2) / 150)
    assert outcomes.count("adopted") / 150 <= level / 2 + slack
    assert outcomes.count("harmful") / 150 <= level / 2 + slack


def test_the_rule_says_itself():
    assert Rule(guards={"latency": 0.1}).said() == (
        "exact sign-flip test at 0.05 over looks at 6, 10, 16 seeds, margin 0.005; latency at most 0.1 worse"
    )
