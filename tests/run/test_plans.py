"""Every bundled plan runs, and the articles' programs learn what there is to learn."""

import numpy as np
import pytest
import torch

import equipoise
from equipoise.core.estimate import Verdict
from equipoise.networks.network import answers
from equipoise.run.bundled import bundled_plans
from equipoise.run.job import Options, run


def finding(report, question):
    return next(one for one in report.findings if one.question == question)


@pytest.mark.parametrize("name", bundled_plans())
def test_every_bundled_plan_ends_well(name, tmp_path):
    plan = equipoise.plan(name).replace(recipe__epochs=2, recipe__patience=None)
    outcome = run(plan, out=tmp_path / name, options=Options(select=("accuracy", "data-quality", "latency")))
    assert {one.question for one in outcome.report.findings} == {"accuracy", "data-quality", "latency"}
    assert Verdict.ERROR not in {one.verdict for one in outcome.report.findings}


def test_xor_is_learned_on_at_least_19_of_20_seeds():
    plan = equipoise.plan("xor")
    learned = 0
    for seed in range(20):
        fit = equipoise.fit(plan, seed)
        inputs, targets = fit.splits.test.batch(torch.arange(4))
        learned += bool((answers(fit.network, inputs).argmax(1) == targets).all())
    assert learned >= 19


def test_the_digits_reach_98_percent():
    report = equipoise.examine(equipoise.fit(equipoise.plan("digits")), select=["accuracy"])
    score = report.findings[0].estimates["score"]
    assert score.value >= 0.98
    assert score.n == 359


def test_pure_noise_is_called_unlearnable_and_its_twin_is_learned():
    noise = equipoise.examine(equipoise.fit(equipoise.plan("pure-noise")), select=["accuracy"])
    assert finding(noise, "accuracy").verdict is Verdict.FAIL
    assert "unlearnable" in finding(noise, "accuracy").claim
    twin = equipoise.examine(equipoise.fit(equipoise.plan("linear-regression")), select=["accuracy"])
    assert finding(twin, "accuracy").verdict is Verdict.PASS
    assert finding(twin, "accuracy").estimates["score"].value > 0.95


def test_predictions_come_in_the_users_words():
    fit = equipoise.fit(equipoise.plan("breast-cancer").replace(recipe__epochs=3))
    raw = {column.name: [1.0, 2.0] for column in fit.network.signature.inputs.columns}
    rows = [dict(zip(raw, values, strict=True)) for values in np.array(list(raw.values())).T]
    assert set(fit.predict(rows)) <= {"malignant", "benign"}
    np.testing.assert_allclose(fit.probabilities(rows).sum(1), 1, atol=1e-6)
