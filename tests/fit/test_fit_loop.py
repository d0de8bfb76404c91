import dataclasses

import numpy as np
import pytest
import torch
from fit_subjects import DENSE, blobs, pictures, plan, regression, splits
from scipy.linalg import lstsq

from equipoise.core.signature import Task
from equipoise.core.stop import StopReason
from equipoise.fit.fit import fit
from equipoise.networks.build import build


def weights(fitted):
    return {name: value.clone() for name, value in fitted.network.state_dict().items()}


def assert_same_bits(one, other):
    assert weights(one).keys() == weights(other).keys()
    for name, value in weights(one).items():
        assert torch.equal(value, weights(other)[name]), name


def vital(fitted, name, part="train"):
    return next(vital for vital in fitted.vitals if (vital.name, vital.part) == (name, part))


LINEAR = {"family": "dense", "hidden": [], "standardise": True}


@pytest.mark.parametrize("outputs", [1, 2])
def test_linear_regression_reaches_the_least_squares_solution(outputs):
    data = regression(outputs=outputs)
    fitted = fit(plan(LINEAR, optimizer="gradient-descent", learning_rate=0.3, epochs=400, keep="last"), 0, splits=data)
    x = data.train.inputs.double().numpy()
    solution, *_ = lstsq(np.c_[x, np.ones(len(x))], data.train.targets.double().numpy())
    test = data.test.inputs.double().numpy()
    expected = np.c_[test, np.ones(len(test))] @ solution
    np.testing.assert_allclose(fitted.network.answer(data.test.inputs).detach(), expected, rtol=1e-4)
    assert fitted.stopped is StopReason.FINISHED
    assert fitted.steps == fitted.epochs == 400


def test_one_step_of_gradient_descent_by_hand():
    data = regression()
    recipe = {
        "optimizer": "gradient-descent",
        "learning_rate": 0.05,
        "epochs": 1,
        "keep": "last",
        "l1": 0.02,
        "l2": 0.3,
    }
    fitted = fit(plan(LINEAR, **recipe), 0, splits=data)
    start = build(fitted.plan.network, data.signature, data.preprocessing, 0)
    w, b = (value.detach().double().numpy() for value in start.body.parameters())
    x = data.train.inputs.double().numpy()
    numbers = data.preprocessing
    y = (data.train.targets.double().numpy() - numbers.target_mean) / numbers.target_scale
    error = 2 * (x @ w.T + b - y) / len(x)
    w_after = w - 0.05 * (error.T @ x + 0.02 * np.sign(w) + 0.3 * w)
    b_after = b - 0.05 * error.sum(0)
    for parameter, expected in zip(fitted.network.body.parameters(), (w_after, b_after), strict=True):
        np.testing.assert_allclose(parameter.detach(), expected, atol=1e-6)


def test_l2_is_weight_decay_for_plain_descent():
    recipe = {"optimizer": "sgd", "learning_rate": 0.05, "epochs": 3, "keep": "last"}
    one, other = (fit(plan(DENSE, **recipe, **way), 0, splits=blobs()) for way in ({"l2": 0.1}, {"weight_decay": 0.1}))
    for name, value in weights(one).items():
        torch.testing.assert_close(value, weights(other)[name], rtol=1e-5, atol=1e-6)


def test_accumulation_equals_a_big_batch_even_where_the_last_one_is_ragged():
    recipe = {"optimizer": "sgd", "learning_rate": 0.1, "epochs": 4, "keep": "last"}
    data = blobs(n=230)  # 138 for training: 3 batches of 40 and one of 18
    small = fit(plan(DENSE, **recipe, batch_size=10, accumulate=4), 0, splits=data)
    big = fit(plan(DENSE, **recipe, batch_size=40), 0, splits=data)
    assert small.steps == big.steps == 16
    for name, value in weights(small).items():
        torch.testing.assert_close(value, weights(big)[name], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        torch.tensor(vital(small, "loss").values), torch.tensor(vital(big, "loss").values), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("family", [DENSE, {"family": "convolutional", "channels": [4, 4, 4], "hidden": [8]}])
@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_activation_checkpointing_gives_the_same_network(family, normalisation):
    network = {**family, "normalisation": normalisation, "dropout": 0.2}
    one, other = (
        fit(plan(network, epochs=2, checkpoint_activations=flag, keep="last"), 0, splits=pictures())
        for flag in (False, True)
    )
    for name, value in weights(one).items():
        torch.testing.assert_close(value, weights(other)[name], rtol=1e-5, atol=1e-6)
    assert "forward" not in vars(other.network.body)


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_stream_alone():
    recipe = {"epochs": 3, "augmentation": ("noise", "mixup"), "batch_size": 16}
    network = {**DENSE, "dropout": 0.3, "normalisation": "batch"}
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = fit(plan(network, **recipe), 3, splits=blobs())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    other = fit(plan(network, **recipe), 3, splits=blobs())
    assert_same_bits(one, other)
    assert one.vitals == other.vitals
    third = fit(plan(network, **recipe), 4, splits=blobs())
    assert any(not torch.equal(value, weights(third)[name]) for name, value in weights(one).items())


def test_the_thread_count_is_put_back():
    threads = torch.get_num_threads()
    fitted = fit(plan(DENSE, epochs=1, threads=2).replace(recipe__threads=2), 0, splits=blobs())
    assert fitted.execution.threads == 2
    assert torch.get_num_threads() == threads


def test_a_network_is_returned_as_it_stands():
    fitted = fit(plan(DENSE), 3, splits=blobs(), train=False)
    start = build(fitted.plan.network, fitted.splits.signature, fitted.splits.preprocessing, 3)
    for name, value in start.state_dict().items():
        assert torch.equal(value, weights(fitted)[name])
    assert (fitted.stopped, fitted.epochs, fitted.steps, fitted.best_epoch) == (StopReason.NOT_TRAINED, 0, 0, 0)
    assert not fitted.network.training


def test_training_stops_at_the_target_loss():
    fitted = fit(plan(DENSE, epochs=300, learning_rate=0.01, target_loss=0.3), 0, splits=blobs())
    assert fitted.stopped is StopReason.TARGET_REACHED
    assert fitted.epochs < 300


def test_training_stops_without_improvement_and_keeps_the_best():
    labels = torch.randint(0, 3, (200,), generator=torch.Generator().manual_seed(0))
    data = dataclasses.replace(blobs(), train=dataclasses.replace(blobs().train, targets=labels[:120]))
    fitted = fit(plan({**DENSE, "hidden": [32]}, epochs=300, learning_rate=0.02, patience=5), 0, splits=data)
    assert fitted.stopped is StopReason.NO_IMPROVEMENT
    losses = vital(fitted, "loss", "validation").values
    assert fitted.epochs == len(losses) == int(np.argmin(losses)) + 1 + 5
    scores = vital(fitted, "score", "validation").values
    best = [i for i, score in enumerate(scores) if score == max(scores)]
    assert fitted.best_epoch == min(best, key=lambda i: losses[i]) + 1
    validation = data.validation
    answer = fitted.network.answer(validation.inputs).argmax(1)
    assert float((answer == validation.targets).float().mean()) == pytest.approx(max(scores))


def test_training_stops_at_the_time_budget_in_the_middle_of_an_epoch():
    fitted = fit(plan(DENSE, epochs=1, batch_size=1, max_seconds=0.3), 0, splits=blobs(n=100_000))
    assert fitted.stopped is StopReason.TIME_BUDGET
    assert 0 < fitted.steps < 60_000
    assert fitted.best_epoch == 1


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_loss_that_explodes_stops_training_with_a_finite_network(keep):
    recipe = {"optimizer": "sgd", "learning_rate": 100.0, "epochs": 200, "keep": keep, "governor": False}
    fitted = fit(plan({**DENSE, "activation": "linear"}, **recipe), 0, splits=regression())
    assert fitted.stopped is StopReason.NOT_FINITE
    assert fitted.epochs < 200
    assert all(torch.isfinite(value).all() for value in weights(fitted).values())


@pytest.mark.parametrize("epoch", [0, 2])
def test_an_interrupt_keeps_the_best_network(epoch):
    said = []

    def listener(progress):
        said.append(progress)
        if progress.phase == "fit" and progress.done == epoch and not progress.finished:
            raise KeyboardInterrupt

    fitted = fit(
        plan(DENSE, epochs=50, batch_size=1, tuned=False),
        0,
        splits=blobs(n=1000 if epoch else 10000),
        on_progress=listener,
    )
    assert fitted.stopped is StopReason.INTERRUPTED
    assert fitted.epochs == epoch
    assert fitted.best_epoch in range(1, epoch + 2)
    assert said[-1].finished
    assert said[-1].note.startswith("interrupted")


def test_an_interrupt_at_the_very_end_loses_nothing():
    said = []

    def listener(progress):
        said.append(progress)
        if progress.finished and progress.phase == "fit" and len([one for one in said if one.finished]) == 2:
            raise KeyboardInterrupt

    fitted = fit(plan(DENSE, epochs=3), 0, splits=blobs(), on_progress=listener)
    assert (fitted.stopped, fitted.epochs) == (StopReason.INTERRUPTED, 3)
    assert fitted.best_epoch > 0


def test_progress_says_loss_score_and_time_left_at_most_ten_times_a_second():
    said = []
    fitted = fit(plan(DENSE, epochs=2, batch_size=1, tuned=False), 0, splits=blobs(n=1500), on_progress=said.append)
    assert len(said) <= fitted.seconds * 10 + 2
    assert said[-1].finished
    assert "validation accuracy" in said[-1].note
    running = [one.note for one in said if one.phase == "fit" and not one.finished]
    assert any("loss" in note and "left" in note for note in running)


def test_gradients_are_clipped_to_the_given_norm():
    recipe = {"optimizer": "sgd", "learning_rate": 1.0, "epochs": 1, "max_grad_norm": 0.01, "keep": "last"}
    fitted = fit(plan(DENSE, **recipe, batch_size=200), 0, splits=blobs())
    start = build(fitted.plan.network, fitted.splits.signature, fitted.splits.preprocessing, 0)
    moved = [(a - b).detach() for a, b in zip(start.body.parameters(), fitted.network.body.parameters(), strict=True)]
    assert float(torch.cat([m.flatten() for m in moved]).norm()) == pytest.approx(0.01, rel=1e-3)
    assert vital(fitted, "gradient_norm").values[0] > 0.01


def test_recorded_gradient_norms_and_rates_are_those_of_the_first_step():
    data = blobs()
    fitted = fit(plan(DENSE, epochs=1, batch_size=500, learning_rate=0.25, optimizer="sgd"), 0, splits=data)
    start = build(fitted.plan.network, data.signature, data.preprocessing, 0)
    loss = torch.nn.functional.cross_entropy(start.scores(data.train.inputs), data.train.targets)
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in start.parameters()]).norm()
    assert vital(fitted, "loss").values[0] == pytest.approx(loss.item(), rel=1e-5)
    assert vital(fitted, "gradient_norm").values[0] == pytest.approx(float(norm), rel=1e-5)
    assert vital(fitted, "learning_rate").values == (0.25,)


def test_bfloat16_trains_as_well_and_stores_float32():
    fitted = fit(plan(DENSE, epochs=15, learning_rate=0.02, precision="bfloat16"), 0, splits=blobs())
    assert fitted.execution.precision == "bfloat16"
    assert all(value.dtype == torch.float32 for value in fitted.network.body.state_dict().values())
    assert max(vital(fitted, "score", "validation").values) > 0.9


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lion", "muon"])
def test_every_optimizer_learns(optimizer):
    rate = {"sgd": 0.3, "lion": 0.01}.get(optimizer, 0.02)
    fitted = fit(plan(DENSE, optimizer=optimizer, learning_rate=rate, epochs=12), 0, splits=blobs())
    assert max(vital(fitted, "score", "validation").values) > 0.9


@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_schedule_free_learns_and_keeps_its_average(normalisation):
    network = {**DENSE, "normalisation": normalisation}
    data = blobs()
    fitted = fit(plan(network, optimizer="schedule-free", learning_rate=0.05, epochs=12), 0, splits=data)
    scores = vital(fitted, "score", "validation").values
    answer = fitted.network.answer(data.validation.inputs).argmax(1)
    assert max(scores) > 0.9
    assert float((answer == data.validation.targets).float().mean()) == pytest.approx(max(scores))


def test_convolutions_learn_channels_last_and_come_back_contiguous():
    fitted = fit(
        plan({"family": "convolutional", "channels": [4, 8], "hidden": [8]}, epochs=10, learning_rate=0.01),
        0,
        splits=pictures(channels=3),
    )
    assert fitted.execution.channels_last
    assert max(vital(fitted, "score", "validation").values) > 0.9
    assert all(parameter.is_contiguous() for parameter in fitted.network.parameters())


def test_short_epochs_are_looked_at_every_few():
    fitted = fit(plan(DENSE, optimizer="gradient-descent", epochs=500, learning_rate=0.5), 0, splits=blobs())
    assert len(vital(fitted, "loss", "validation").steps) == 50
    assert vital(fitted, "loss").steps[-1] == fitted.steps == 500


def test_multilabel_and_binary_tasks_are_learnt():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(300, 3)).astype(np.float32)
    several = (inputs > 0).astype(np.float32)
    task = Task(kind="multilabel", classes=("a", "b", "c"))
    fitted = fit(plan(DENSE, epochs=40, learning_rate=0.02), 0, splits=splits(inputs, several, task))
    assert max(vital(fitted, "score", "validation").values) > 0.9
    task = Task(kind="binary", classes=("no", "yes"))
    fitted = fit(
        plan(DENSE, epochs=40, learning_rate=0.02, class_weights="balanced", label_smoothing=0.05),
        0,
        splits=splits(inputs, several[:, 0].astype(np.int64), task),
    )
    assert max(vital(fitted, "score", "validation").values) > 0.9
    assert set(fitted.predict(inputs[:50])) == {"no", "yes"}


@pytest.mark.parametrize(
    ("network", "recipe", "message"),
    [
        (DENSE, {"loss": "mse"}, "Set recipe.loss to 'cross-entropy'"),
        (DENSE, {"augmentation": ("flip",)}, "Remove 'flip'"),
        (DENSE, {"optimizer": "schedule-free", "weight_averaging": "tail"}, "averages by itself"),
        (DENSE, {"optimizer": "gradient-descent", "accumulate": 2}, "Leave it out"),
        (DENSE, {"device": "mps"}, "Leave it at 'auto'"),
        (LINEAR, {"optimizer": "muon"}, "Use 'adamw'"),
        ({**DENSE, "normalisation": "batch"}, {"batch_size": 1}, "expected at least two to a batch"),
    ],
)
def test_what_cannot_work_is_refused_before_training(network, recipe, message):
    with pytest.raises(ValueError, match=message):
        fit(plan(network, **recipe), 0, splits=blobs())
