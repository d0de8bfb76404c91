"""A slice of the calibration of paired trials, replayed from the record."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

import equipoise
from equipoise.fit.cohort import Member, fit_members
from equipoise.trial.rule import Rule

ROOT = Path(__file__).parents[2]
RECORD = json.loads((ROOT / "benchmarks/records/trial_calibration.json").read_text())


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.trial_calibration")


def test_trials_of_nothing_are_adopted_at_the_stated_rate():
    nothing = RECORD["effects"]["0"]
    assert RECORD["trials"] >= 500
    assert nothing["adopted"]["low"] <= Rule().level / 2
    assert nothing["harmful"]["low"] <= Rule().level / 2
    assert nothing["adopted"]["high"] <= Rule().level
    assert sum(nothing["outcomes"].values()) == nothing["adopted"]["n"] == RECORD["trials"]


def test_a_slice_of_the_record_is_found_again(script):
    few = script.calibrate(RECORD["pools"], 60, Rule())
    assert few["0"]["adopted"]["value"] <= 5 / 60
    assert few["0"]["harmful"]["value"] <= 5 / 60
    assert few["2"]["adopted"]["value"] >= 0.95
    adopted = [few[effect]["adopted"]["value"] for effect in ("0", "0.5", "1", "1.5", "2")]
    assert adopted == sorted(adopted)


def test_no_score_is_drawn_twice(script):
    scores = 2.0 ** np.arange(40)
    differences = script.drawn(scores, 16, np.random.default_rng(0))
    used = [abs(one) for one in differences]
    assert len(used) == len(set(used)) == 16
    assert script.decided(Rule(), [0.1] * 16).outcome == "adopted"
    assert script.decided(Rule(), [0.0] * 16).outcome == "no difference"


def test_the_pool_can_be_trained_again(script):
    plan = equipoise.plan("wine")
    again = fit_members([Member(plan=plan, seed=script.FIRST_SEED + i) for i in range(3)])
    assert again.scores == pytest.approx(RECORD["pools"]["wine"][:3], abs=0.06)  # other machines round otherwise
