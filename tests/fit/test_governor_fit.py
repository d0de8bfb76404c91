"""The governor inside `fit`: bits of healthy trainings, recovery, checkpoints in the middle of an act, its words."""

import dataclasses

import killed_fit
import numpy as np
import pytest
import torch
from fit_subjects import DENSE, blobs, pictures, plan, regression, splits

from equipoise.core.signature import ArrayInput, Task
from equipoise.core.stop import StopReason
from equipoise.fit.fit import fit

WIDE = {"family": "dense", "hidden": [32, 32]}
TOO_FAST = {"optimizer": "sgd", "learning_rate": 60.0, "batch_size": 8, "epochs": 24}


def weights(fitted):
    return {name: value.clone() for name, value in fitted.network.state_dict().items()}


def assert_same_bits(one, other):
    for name, value in weights(one).items():
        assert torch.equal(value, weights(other)[name]), name
    assert repr(one.vitals) == repr(other.vitals)  # a loss that is not a number differs from itself
    assert (one.epochs, one.steps, one.best_epoch, one.stopped) == (
        other.epochs,
        other.steps,
        other.best_epoch,
        other.stopped,
    )


def accuracy(fitted, data):
    part = data.validation
    return float((fitted.network.answer(part.inputs).argmax(1) == part.targets).float().mean())


def sequences():
    inputs = np.random.default_rng(0).normal(size=(200, 6, 2)).astype(np.float32)
    task = Task(kind="binary", classes=("low", "high"))
    spec = ArrayInput(shape=(6, 2), axes="steps,features")
    return splits(inputs, (inputs.sum((1, 2)) > 0).astype(np.int64), task, spec)


SIGMOID = {**WIDE, "activation": "sigmoid"}
CONVOLUTIONAL = {"family": "convolutional", "channels": [4, 4], "hidden": [8], "normalisation": "batch", "dropout": 0.2}


@pytest.mark.parametrize(
    ("network", "data", "recipe"),
    [
        (DENSE, blobs, {"optimizer": "adam"}),
        (DENSE, regression, {"optimizer": "momentum", "learning_rate": 0.01, "max_grad_norm": 1.0}),
        (CONVOLUTIONAL, pictures, {"optimizer": "muon", "weight_averaging": "exponential"}),
        ({"family": "recurrent", "cell": "lstm", "hidden": [8]}, sequences, {"optimizer": "rmsprop"}),
        ({**DENSE, "normalisation": "batch", "dropout": 0.3}, blobs, {"optimizer": "schedule-free"}),
        (DENSE, blobs, {"precision": "bfloat16", "accumulate": 2, "augmentation": ("noise",)}),
        (DENSE, blobs, {"optimizer": "gradient-descent", "epochs": 200, "learning_rate": 0.3}),
    ],
    ids=["dense", "clipped", "convolutional", "lstm", "schedule-free", "bfloat16", "full-batch"],
)
def test_a_healthy_training_is_the_same_with_and_without(network, data, recipe):
    settings = {"epochs": 12, "batch_size": 8, **recipe}
    with_it, without = (fit(plan(network, **settings, governor=flag), 0, splits=data()) for flag in (True, False))
    assert with_it.acts == ()
    assert_same_bits(with_it, without)


def test_a_training_that_dies_of_its_step_is_saved_and_says_so():
    data = blobs(n=400)
    alone = fit(plan(WIDE, **TOO_FAST, governor=False, keep="last"), 0, splits=data)
    fitted = fit(plan(WIDE, **TOO_FAST, keep="last"), 0, splits=data)
    assert accuracy(alone, data) < 0.7
    assert accuracy(fitted, data) > 0.85
    assert fitted.stopped is StopReason.FINISHED
    assert fitted.acts[-1].outcome == "recovered"
    assert all(act.why.endswith(f"Everything went back to step {act.numbers['back_to']:,.0f}.") for act in fitted.acts)
    steps = [act.step for act in fitted.acts]
    assert steps == sorted(steps)


def test_a_loss_that_explodes_comes_back():
    recipe = {"optimizer": "sgd", "learning_rate": 100.0, "epochs": 200, "keep": "last"}
    fitted = fit(plan({**DENSE, "activation": "linear"}, **recipe), 0, splits=regression())
    assert fitted.stopped is StopReason.FINISHED
    assert fitted.acts
    last = next(vital for vital in fitted.vitals if (vital.name, vital.part) == ("score", "validation")).values[-1]
    assert last > 0.9


@pytest.mark.parametrize("rate", [100.0, 1e6])
@pytest.mark.parametrize(("network", "data"), [({"family": "dense", "hidden": []}, regression), (WIDE, blobs)])
def test_an_absurd_rate_on_a_small_table_is_cured_before_patience_runs_out(network, data, rate):
    recipe = {"optimizer": "sgd", "learning_rate": rate, "epochs": 150, "patience": 16}
    fitted = fit(plan(network, **recipe), 0, splits=data())  # four steps an epoch, so patience is 64 steps
    assert fitted.acts[-1].outcome == "recovered"
    assert fitted.steps > fitted.acts[-1].step + 64
    assert fitted.score > 0.9


def test_a_validation_that_is_not_finite_is_treated_unless_its_data_are_to_blame():
    good = regression()
    sick = dataclasses.replace(good, validation=dataclasses.replace(good.validation, inputs=good.validation.inputs / 0))
    recipe = {"optimizer": "sgd", "epochs": 60, "patience": 8}
    blamed = fit(plan({"family": "dense", "hidden": []}, **recipe, learning_rate=0.1), 0, splits=sick)
    assert (blamed.stopped, blamed.acts) == (StopReason.NOT_FINITE, ())
    treated = fit(plan({"family": "dense", "hidden": []}, **recipe, learning_rate=100.0, batch_size=32), 0, splits=good)
    losses = next(vital for vital in treated.vitals if (vital.name, vital.part) == ("loss", "validation")).values
    assert not np.isfinite(losses).all()
    assert treated.acts[-1].outcome == "recovered"
    assert treated.stopped in (StopReason.FINISHED, StopReason.NO_IMPROVEMENT)
    assert treated.score > 0.9


def test_a_poisoned_sample_costs_one_batch_an_epoch():
    data = blobs()
    inputs = data.train.inputs.clone()
    inputs[5] = float("nan")
    data = dataclasses.replace(data, train=dataclasses.replace(data.train, inputs=inputs))
    settings = {"epochs": 20, "batch_size": 8, "keep": "last"}
    network = {**DENSE, "normalisation": "batch"}
    alone = fit(plan(network, **settings, governor=False), 0, splits=data)
    fitted = fit(plan(network, **settings), 0, splits=data)
    assert alone.stopped is StopReason.NOT_FINITE
    assert fitted.stopped is StopReason.FINISHED
    assert [act.what for act in fitted.acts] == ["skip-batches"]
    assert fitted.acts[0].numbers["skipped"] == pytest.approx(20, abs=2)
    assert accuracy(fitted, data) > 0.85


def test_data_that_are_not_finite_at_all_stop_with_the_reason():
    data = blobs()
    inputs = torch.full_like(data.train.inputs, float("nan"))
    data = dataclasses.replace(data, train=dataclasses.replace(data.train, inputs=inputs))
    fitted = fit(plan(DENSE, epochs=100, batch_size=8), 0, splits=data)
    assert fitted.stopped is StopReason.NOT_FINITE
    assert fitted.steps < 400
    assert fitted.acts[-1].what == "stop"
    assert all(torch.isfinite(value).all() for value in weights(fitted).values())


def test_what_nothing_cures_is_stopped_as_unstable():
    data = blobs()
    nearly_equal = 1 + 1e-6 * data.train.inputs
    data = dataclasses.replace(data, train=dataclasses.replace(data.train, inputs=nearly_equal))
    fitted = fit(plan(WIDE, epochs=200, batch_size=8), 0, splits=data)
    assert fitted.stopped is StopReason.UNSTABLE
    assert fitted.epochs < 200
    assert fitted.acts[-1].what == "stop"
    assert "said the same to every sample" in fitted.acts[0].why
    assert "training-stability" in fitted.stopped.help


class Stopped(Exception):
    """Ends a training as abruptly as an exception can."""


@pytest.fixture
def often(monkeypatch):
    """Checkpoints at every chance, within this process."""
    import os

    for module, names in (
        (killed_fit.loop, ("EVERY_S",)),
        (killed_fit.keeper, ("SHORTEST_S", "WITHIN_S", "COST_SHARE")),
        (os, ("fsync",)),
    ):
        for name in names:  # noted here, so that they are put back
            monkeypatch.setattr(module, name, getattr(module, name))
    killed_fit.write_often()


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize(
    ("network", "shift"),
    [(WIDE, 0), ({**WIDE, "normalisation": "batch"}, 0), ({**WIDE, "activation": "tanh"}, 0), (SIGMOID, 60)],
    ids=["plain", "batch norm", "tanh", "revived and rescaled units"],
)
def test_a_training_cut_off_in_the_middle_of_an_act_goes_on_with_the_same_bits(tmp_path, network, shift):
    data = blobs(n=400)
    if shift:
        inputs = 0.01 * data.train.inputs + shift
        data = dataclasses.replace(data, train=dataclasses.replace(data.train, inputs=inputs))
    recipe = {**TOO_FAST, "learning_rate": 0.05} if shift else TOO_FAST
    chosen = plan(network, **{**recipe, "epochs": 10, "weight_averaging": "exponential"})
    undisturbed = fit(chosen, 0, splits=data)
    assert undisturbed.acts
    assert not shift or {"revive-units", "scale-units"} <= {act.what for act in undisturbed.acts}
    stops = 0
    for messages in (2, 3, 3, 4):

        def listener(progress, left=[messages]):  # noqa: B006
            left[0] -= progress.phase == "fit"
            if left[0] < 0:
                raise Stopped

        try:
            fit(chosen, 0, splits=data, folder=tmp_path, resume=True, on_progress=listener)
        except Stopped:
            stops += 1
    assert stops > 0
    resumed = fit(chosen, 0, splits=data, folder=tmp_path, resume=True)
    assert_same_bits(resumed, undisturbed)
    assert repr(resumed.acts) == repr(undisturbed.acts)


def test_a_governed_stop_is_returned_again(tmp_path):
    data = blobs()
    inputs = torch.full_like(data.train.inputs, float("nan"))
    data = dataclasses.replace(data, train=dataclasses.replace(data.train, inputs=inputs))
    chosen = plan(DENSE, epochs=100, batch_size=8)
    first = fit(chosen, 0, splits=data, folder=tmp_path)
    again = fit(chosen, 0, splits=data, folder=tmp_path, resume=True)
    assert first.stopped is again.stopped is StopReason.NOT_FINITE
    assert repr(first.acts) == repr(again.acts)


def test_two_networks_against_each_other_may_have_rising_losses():
    from test_objectives import test_a_generative_pair_learns_the_scale_of_the_data as learns

    learns()
