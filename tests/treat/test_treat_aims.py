"""What treatments of calibration and of noise are judged by, by hand."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from test_treat_course import QUICK, SICK, report_on

from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.signature import Task
from equipoise.data.samples import TensorSamples
from equipoise.fit.fit import fit
from equipoise.fit.temperature import scale_temperature
from equipoise.run.what import plan as plan_of
from equipoise.treat import treat as room
from equipoise.treat.aims import aim_of, log_likelihood, score_under_disturbances, score_under_noise
from equipoise.treat.change import Change
from equipoise.treat.treat import treat

CLASSES = Task(kind="multiclass", classes=("a", "b", "c"))


@pytest.fixture(scope="module")
def done():
    return fit(plan_of("wine").replace(recipe__epochs=12, recipe__patience=None), 0)


def test_only_some_questions_have_an_aim_of_their_own():
    assert aim_of("calibration", CLASSES).name == "log likelihood (nats)"
    assert aim_of("input-noise", CLASSES).name == "accuracy under noise"
    assert aim_of("corruption", Task(kind="regression")).name == "R2 under disturbances"
    assert aim_of("overfitting", CLASSES) is None
    assert aim_of("calibration", Task(kind="regression")) is None
    assert aim_of("input-noise", Task(kind="clustering", clusters=2)) is None


def test_log_likelihood_by_hand(done):
    part = done.splits.validation
    inputs, targets = part.batch(torch.arange(len(part)))
    told = done.network.answer(inputs).detach()
    expected = told[torch.arange(len(part)), targets].log().mean()
    assert log_likelihood(done, "validation") == pytest.approx(float(expected), rel=1e-5)


def test_a_temperature_is_judged_on_samples_that_did_not_choose_it(done):
    """Fitted and judged on the same samples, it could do no harm, so that even chance would pass every trial."""
    truth = torch.randint(0, 3, (len(done.splits.validation),), generator=torch.Generator().manual_seed(1))
    inputs, _ = done.splits.validation.batch(torch.arange(len(truth)))
    splits = dataclasses.replace(done.splits, validation=TensorSamples(inputs, truth))
    plain = dataclasses.replace(done, splits=splits)
    network = copy.deepcopy(done.network)
    best = scale_temperature(network, network.scores(inputs), truth)
    scaled = dataclasses.replace(plain, network=network, plan=done.plan.replace(finish=["temperature"]))
    own = network.answer(inputs).detach()[torch.arange(len(truth)), truth].log().mean()
    assert best > 1
    assert log_likelihood(scaled, "validation") < float(own)
    assert log_likelihood(scaled, "test") == pytest.approx(
        log_likelihood(dataclasses.replace(scaled, plan=done.plan), "test")
    )


def test_noise_and_disturbances_cost_score_and_repeat(done):
    assert score_under_noise(done, "validation") == score_under_noise(done, "validation")
    assert 1 / 3 < score_under_noise(done, "test") <= 1
    assert score_under_disturbances(done, "test") < done.score
    assert np.isfinite(score_under_disturbances(done, "validation"))


def test_noise_does_not_fit_token_ids():
    plan = plan_of("reviews").replace(recipe__epochs=1, data__n=60)
    assert np.isnan(score_under_noise(fit(plan, 0), "validation"))


def test_a_treatment_of_calibration_is_judged_by_it_and_guarded_by_the_score(monkeypatch):
    doubt = Change("doubt", "smooth", ("calibration",), lambda plan: plan.replace(recipe__label_smoothing=0.9))
    monkeypatch.setattr(room, "treatments", lambda plugins: (doubt,))
    monkeypatch.setattr(room, "examined", lambda one, *rest: report_on(one.plan))
    finding = Finding(question="calibration", theme="made", title="?", verdict=Verdict.FAIL, claim="0.2 [0.1, 0.3].")
    report = report_on(SICK).model_copy(update={"findings": (finding,)})
    plan = SICK.replace(recipe__learning_rate=3e-2)
    (trial,) = treat(plan, report, budget_s=300, seeds=6).course.trials
    assert trial.metric == "validation log likelihood (nats)"
    assert "score" in trial.guards
    assert trial.effect.value < -0.2
    (scored,) = treat(plan, report, budget_s=300, seeds=6, rule=QUICK).course.trials
    assert set(scored.guards) == set()
