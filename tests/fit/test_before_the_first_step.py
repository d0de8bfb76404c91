"""What a recipe may ask for besides plain steps: sharpness, scaled units, a range test, warm-up, order."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from fit_subjects import DENSE, blobs, pictures, plan, regression
from torch import nn

from equipoise.core.recipe import Recipe
from equipoise.fit.birth import scale_units
from equipoise.fit.execution import choose_execution
from equipoise.fit.fit import fit
from equipoise.fit.optimizers import build_stepper
from equipoise.fit.prepare import prepare_job, prepare_state
from equipoise.fit.rate_search import BACK, best_rate
from equipoise.fit.schedules import Plateau, multiplier
from equipoise.fit.sharpness import look_uphill
from equipoise.networks.build import build

BATCH_NORM = {"family": "dense", "hidden": [8, 8], "normalisation": "batch"}


def prepared(chosen, splits):
    network = build(chosen.network, splits.signature, splits.preprocessing, 0)
    inputs, _ = splits.train.batch(torch.arange(8))
    execution = choose_execution(chosen.recipe, network, inputs)
    stepper = build_stepper(chosen.recipe, network, torch.device("cpu"))
    job = prepare_job(chosen, 0, splits, network, stepper, execution, None, lambda _: None)
    return network, job, prepare_state(chosen.recipe, network, stepper, job)


@pytest.mark.parametrize("network", [DENSE, BATCH_NORM])
def test_the_sharp_gradient_is_that_at_the_end_of_the_step_uphill(network):
    radius = 0.3
    chosen = plan(network, sharpness_radius=radius, governor=False)
    network, job, state = prepared(chosen, blobs())
    batch = next(iter(job.feed.batches(0, 1, 0, state.draws)))
    weights = [one.detach().clone() for one in state.stepper.parameters]
    loss, _ = job.objective(batch.features, batch.targets, state.draws)
    loss.backward()
    gradients = [one.grad.clone() for one in state.stepper.parameters]
    buffers = [one.clone() for one in network.buffers()]
    look_uphill(job, state, batch)
    assert all(torch.equal(a, b) for a, b in zip(weights, state.stepper.parameters, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(buffers, network.buffers(), strict=True))
    length = math.sqrt(sum(float(one.square().sum()) for one in gradients))
    moved = [
        (weight + radius * slope / length).requires_grad_() for weight, slope in zip(weights, gradients, strict=True)
    ]
    names = [name for name, _ in network.body.named_parameters()]
    scores = torch.func.functional_call(network.body, dict(zip(names, moved, strict=True)), (batch.features,))
    expected = torch.autograd.grad(nn.functional.cross_entropy(scores, batch.targets), moved)
    for one, want in zip(state.stepper.parameters, expected, strict=True):
        assert torch.allclose(one.grad, want, atol=1e-6)


def test_a_sharp_training_counts_its_steps_once_and_refuses_gathered_batches():
    done = fit(plan(DENSE, sharpness_radius=0.05, epochs=3), 0, splits=blobs())
    assert done.steps == fit(plan(DENSE, epochs=3), 0, splits=blobs()).steps
    with pytest.raises(ValueError, match=r"recipe.sharpness_radius: got 0.05 with 2 batches"):
        fit(plan(DENSE, sharpness_radius=0.05, accumulate=2), 0, splits=blobs())


@pytest.mark.parametrize(
    ("network", "splits"),
    [({"family": "dense", "hidden": [16, 16, 16]}, blobs()), ({"family": "convolutional"}, pictures())],
)
def test_hidden_units_begin_with_mean_0_and_deviation_1(network, splits):
    built = build(plan(network).network, splits.signature, splits.preprocessing, 0)
    last = [one for one in built.body.modules() if isinstance(one, (nn.Linear, nn.Conv2d))][-1]
    before = last.weight.detach().clone()
    seen = {}
    units = scale_units(built, splits, 0, torch.device("cpu"))
    layers = [one for one in built.body.modules() if isinstance(one, (nn.Linear, nn.Conv2d)) and one is not last]
    for layer in layers:
        layer.register_forward_hook(lambda module, _given, out: seen.setdefault(module, out))
    built(splits.train.inputs)  # as few as the rows that were looked at
    assert units == sum(out.shape[1] for out in seen.values())
    for out in seen.values():
        by_unit = out.detach().movedim(1, -1).reshape(-1, out.shape[1])
        assert torch.allclose(by_unit.mean(0), torch.zeros(out.shape[1]), atol=1e-3)
        assert torch.allclose(by_unit.std(0, correction=0), torch.ones(out.shape[1]), atol=1e-2)
    assert torch.equal(last.weight, before)


def test_units_cannot_be_scaled_where_there_are_none():
    with pytest.raises(ValueError, match=r"recipe.unit_scaling: got a network without a hidden"):
        fit(plan({"family": "dense", "hidden": []}, unit_scaling=True), 0, splits=blobs())


def test_the_rate_found_is_a_tenth_of_that_of_the_smallest_loss():
    rates = np.geomspace(1e-6, 10, 100)
    losses = (np.log10(rates) + 1) ** 2 / 10 + 0.3  # smallest at 0.1
    assert best_rate(rates, losses, 1.0) == pytest.approx(0.1 / BACK, rel=0.2)
    draw = np.random.default_rng(0)
    assert best_rate(rates, 1 + 0.1 * draw.normal(size=100), 0.123) == 0.123
    assert best_rate(rates[:1], np.array([math.inf]), 0.123) == 0.123


@pytest.mark.parametrize("written", [1e-6, 3.0])
def test_a_range_test_finds_a_rate_that_trains_whatever_the_plan_says(written):
    chosen = plan(DENSE, learning_rate=written, learning_rate_search=True, epochs=60)
    done = fit(chosen, 0, splits=regression())
    found = done.execution.learning_rate
    assert 1e-3 < found < 0.3
    assert done.plan == chosen
    rates = next(one for one in done.vitals if one.name == "learning_rate")
    assert max(rates.values) == pytest.approx(found)
    assert done.score > 0.9
    again = fit(chosen, 0, splits=regression())
    assert again.execution.learning_rate == found
    assert again.score == done.score


def test_a_resumed_training_keeps_the_rate_that_was_found(tmp_path):
    chosen = plan(DENSE, learning_rate_search=True, unit_scaling=True, epochs=6)
    whole = fit(chosen, 0, splits=blobs())
    cut = chosen.replace(recipe__max_seconds=1e-9)
    first = fit(cut, 0, splits=blobs(), folder=tmp_path)
    assert first.epochs < 6
    done = fit(chosen, 0, splits=blobs(), folder=tmp_path, resume=True)
    assert done.execution.learning_rate == whole.execution.learning_rate
    for one, other in zip(whole.network.parameters(), done.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_warm_up_may_be_a_share_of_the_training():
    recipe = Recipe(warmup_share=0.1)
    factors = [multiplier(recipe, step, 200, 20, Plateau()) for step in range(200)]
    assert factors[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert set(factors[20:]) == {1.0}
    longer = recipe.replace(warmup_steps=50)
    assert multiplier(longer, 24, 200, 20, Plateau()) == 0.5


def test_without_shuffling_rows_come_as_they_lie():
    splits = blobs()
    _, job, state = prepared(plan(DENSE, shuffle=False), splits)
    batches = list(job.feed.batches(3, 1, 0, state.draws))
    assert torch.equal(torch.cat([one.targets for one in batches]), splits.train.targets)
    _, shuffled, state = prepared(plan(DENSE), splits)
    drawn = torch.cat([one.targets for one in shuffled.feed.batches(3, 1, 0, state.draws)])
    assert not torch.equal(drawn, splits.train.targets)


def test_rows_that_are_looked_at_are_training_rows():
    splits = blobs()
    spoiled = dataclasses.replace(splits, validation=dataclasses.replace(splits.validation, inputs=splits.test.inputs))
    one, two = (
        fit(plan(DENSE, learning_rate_search=True, unit_scaling=True, epochs=1), 0, splits=each)
        for each in (splits, spoiled)
    )
    assert one.execution.learning_rate == two.execution.learning_rate
