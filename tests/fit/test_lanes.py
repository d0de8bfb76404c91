import signal
import sys
import threading

import numpy as np
import pytest
import torch
from fit_subjects import DENSE, blobs, pictures, plan, regression, splits
from torch import nn

from equipoise.core.progress import silent
from equipoise.core.signature import Task
from equipoise.core.stop import StopReason
from equipoise.fit import loop
from equipoise.fit.fit import fit
from equipoise.fit.lanes import choose
from equipoise.fit.lanes.layout import layers_of
from equipoise.fit.lanes.native import Steps
from equipoise.fit.lanes.side_by_side import side_by_side
from equipoise.networks.build import build

pytestmark = pytest.mark.skipif(not Steps().name, reason="the extension module was not built: no C compiler")

ACTIVATIONS = ("relu", "leaky-relu", "gelu", "silu", "tanh", "sigmoid", "elu", "selu", "linear")
DEEP = {"family": "dense", "hidden": [9, 6]}


def labels(n=200, features=4, seed=0):
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(n, features)).astype(np.float32)
    return splits(inputs, (inputs[:, :2] > 0).astype(np.float32), Task(kind="multilabel", classes=("a", "b")))


def halves(n=200, seed=0):
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(n, 3)).astype(np.float32)
    return splits(inputs, (inputs.sum(1) > 0.8).astype(np.int64), Task(kind="binary", classes=("no", "yes")))


def weights(fitted):
    return torch.cat([one.detach().flatten() for one in fitted.network.parameters()])


def bits(fitted):
    state = {name: value.clone() for name, value in fitted.network.state_dict().items()}
    return state, (fitted.vitals, fitted.stopped, fitted.epochs, fitted.steps, fitted.best_epoch, fitted.acts)


def assert_same_bits(one, other):
    (state, said), (other_state, other_said) = bits(one), bits(other)
    assert repr(said) == repr(other_said)  # losses may be NaN
    assert all(torch.equal(value, other_state[name]) for name, value in state.items())


def both(network, data, **recipe):
    """Train in the plan lane and in the eager one."""
    planned, eager = (fit(plan(network, **recipe, tuned=flag), 0, splits=data) for flag in (True, False))
    assert planned.execution.lane.startswith("plan")
    assert eager.execution.lane == "eager"
    return planned, eager


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalisation", ["none", "batch", "layer"])
def test_the_gradient_is_that_of_autograd_in_double_precision(activation, normalisation):
    network = {**DEEP, "activation": activation, "normalisation": normalisation}
    data = blobs(n=120)
    recipe = {"optimizer": "sgd", "learning_rate": 1.0, "epochs": 1, "batch_size": 500, "keep": "last"}
    fitted = fit(plan(network, **recipe), 0, splits=data)  # one step: the weights move by the gradient
    assert fitted.execution.lane.startswith("plan")
    start = build(fitted.plan.network, data.signature, data.preprocessing, 0).double().train()
    loss = nn.functional.cross_entropy(start.scores(data.train.inputs.double()), data.train.targets)
    loss.backward()
    for before, after in zip(start.body.parameters(), fitted.network.body.parameters(), strict=True):
        moved = before.detach() - after.detach().double()
        torch.testing.assert_close(moved, before.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("data", "recipe"),
    [
        (blobs, {"label_smoothing": 0.1}),
        (blobs, {"class_weights": "balanced", "label_smoothing": 0.2, "class_sampling": "balanced"}),
        (halves, {}),
        (halves, {"class_weights": "balanced", "label_smoothing": 0.1, "loss": "cross-entropy"}),
        (labels, {"class_weights": "balanced", "optimizer": "adamw"}),
        (labels, {"label_smoothing": 0.1}),
        (lambda: regression(outputs=2), {"loss": "mse"}),
        (regression, {"loss": "mae", "optimizer": "sgd"}),
        (regression, {"loss": "huber", "huber_delta": 0.3}),
        (blobs, {"optimizer": "momentum", "weight_decay": 0.01, "schedule": "cosine", "warmup_steps": 5}),
        (blobs, {"optimizer": "nesterov", "momentum": 0.8, "schedule": "step", "step_every": 1}),
        (blobs, {"optimizer": "sgd", "weight_decay": 0.1, "shuffle": False}),
        (blobs, {"optimizer": "gradient-descent", "epochs": 90, "learning_rate": 0.1}),
        (blobs, {"optimizer": "adamw", "weight_decay": 0.1, "schedule": "one-cycle", "l1": 1e-3, "l2": 1e-2}),
        (blobs, {"max_grad_norm": 0.05, "accumulate": 3}),
        (blobs, {"weight_averaging": "exponential"}),
        (blobs, {"weight_averaging": "tail", "accumulate": 2, "keep": "last"}),
        (blobs, {"schedule": "plateau", "plateau_patience": 1, "min_delta": 10.0, "patience": 3}),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_trainings_agree_with_eager_ones(data, recipe):
    settings = {"epochs": 6, "batch_size": 16, "learning_rate": 0.01, **recipe}
    planned, eager = both({**DEEP, "activation": "tanh"}, data(), **settings)
    assert (planned.steps, planned.epochs, planned.stopped) == (eager.steps, eager.epochs, eager.stopped)
    torch.testing.assert_close(weights(planned), weights(eager), rtol=1e-3, atol=2e-5)
    for one, other in zip(planned.vitals, eager.vitals, strict=True):
        assert (one.name, one.part, one.steps) == (other.name, other.part, other.steps)
        np.testing.assert_allclose(one.values, other.values, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("normalisation", "batch"), [("none", 16), ("batch", 16), ("layer", 16), ("none", 500)])
def test_dropout_takes_the_masks_of_eager_trainings(normalisation, batch):
    network = {**DEEP, "dropout": 0.4, "normalisation": normalisation, "activation": "gelu"}
    planned, eager = both(network, pictures(), epochs=8, batch_size=batch, keep="last")
    torch.testing.assert_close(weights(planned), weights(eager), rtol=1e-3, atol=2e-5)
    for name, value in eager.network.named_buffers():
        torch.testing.assert_close(dict(planned.network.named_buffers())[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("governor", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_loss_that_is_not_finite_is_seen(activation, governor):
    data = regression(n=600)
    data.train.inputs[::2, 0] = float("nan")  # more than may be left out
    planned, eager = both({**DEEP, "activation": activation}, data, epochs=30, governor=governor)
    assert planned.stopped is eager.stopped is StopReason.NOT_FINITE
    assert [act.what for act in planned.acts] == [act.what for act in eager.acts]


@pytest.mark.parametrize(
    ("network", "data", "recipe"),
    [
        ({**DEEP, "activation": "linear"}, regression, {"optimizer": "sgd", "learning_rate": 100.0}),
        ({"family": "dense", "hidden": [64, 64]}, blobs, {"optimizer": "momentum", "learning_rate": 30.0}),
        ({**DEEP, "dropout": 0.2, "normalisation": "batch"}, blobs, {"optimizer": "sgd", "learning_rate": 1e6}),
    ],
)
def test_the_governor_does_the_same_as_in_eager_trainings(network, data, recipe):
    planned, eager = both(network, data(), epochs=40, keep="last", **recipe)
    assert planned.acts
    assert [(act.what, act.outcome) for act in planned.acts] == [(act.what, act.outcome) for act in eager.acts]
    assert planned.stopped == eager.stopped


class Stopped(Exception):
    """Ends a training as abruptly as an exception can."""


@pytest.mark.parametrize("recipe", [{}, {"optimizer": "momentum", "accumulate": 2}], ids=["adam", "momentum"])
def test_a_resumed_training_has_the_same_bits(tmp_path, monkeypatch, recipe):
    monkeypatch.setattr(loop, "EVERY_S", 0.0)  # clock and checkpoints after every call
    for name in ("SHORTEST_S", "WITHIN_S"):
        monkeypatch.setattr(f"equipoise.fit.keeper.{name}", 0.0)
    monkeypatch.setattr("equipoise.fit.keeper.COST_SHARE", 1e9)
    network = {**DEEP, "dropout": 0.3, "normalisation": "batch"}
    asked = plan(network, epochs=5, batch_size=8, weight_averaging="exponential", **recipe)
    undisturbed = fit(asked, 0, splits=blobs())

    def listener(progress):
        nonlocal messages
        messages -= progress.phase == "fit"
        if messages < 0:
            raise Stopped

    for stop in (2, 5, 7, 10**9):
        messages = stop
        try:
            resumed = fit(asked, 0, splits=blobs(), folder=tmp_path, resume=True, on_progress=listener)
        except Stopped:
            continue
    assert resumed.execution.lane.startswith("plan")
    assert_same_bits(resumed, undisturbed)


def members(rates=(1e-3, 1e-2, 0.1, 1e6), **recipe):
    network = {**DEEP, "dropout": 0.3, "normalisation": "batch"}
    settings = {"epochs": 6, "batch_size": 8, "optimizer": "momentum", **recipe}
    return [plan(network, learning_rate=rate, seed=k, **settings) for k, rate in enumerate(rates)]


@pytest.mark.parametrize("tuned", [True, False])
def test_trainings_side_by_side_have_the_bits_of_those_alone(tuned):
    asked, data = members(tuned=tuned), blobs()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    together = beside_with_way(asked, data)
    assert torch.equal(torch.get_rng_state(), state)
    for one, other in zip([fit(one, splits=data) for one in asked], together, strict=True):
        assert_same_bits(one, other)
    assert together[-1].acts


def beside_with_way(plans, data, on_progress=silent):
    return side_by_side([lambda on, one=one: fit(one, splits=data, on=on, on_progress=on_progress) for one in plans], 3)


def test_an_interrupt_ends_all_that_run_side_by_side(monkeypatch):
    monkeypatch.setattr(loop, "EVERY_S", 0.01)
    heard = threading.Event()

    def listener(progress):
        if progress.phase == "fit" and not heard.is_set():
            heard.set()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    ended = beside_with_way(members((0.01,) * 4, epochs=100_000), blobs(), listener)
    assert {one.stopped for one in ended} == {StopReason.INTERRUPTED}
    assert all(one.best_epoch for one in ended)


def test_an_error_ends_the_others():
    asked = members((0.01,), epochs=100_000)[0]
    with pytest.raises(ValueError, match="got a plan that fails"):
        side_by_side([fails, lambda on: fit(asked, splits=blobs(), on=on)], 2)


def fails(_on):
    raise ValueError("got a plan that fails")


def test_without_the_extension_module_trainings_are_eager(monkeypatch):
    monkeypatch.setitem(sys.modules, "equipoise.fit._steps", None)
    fitted = fit(plan(DENSE, epochs=2), 0, splits=blobs())
    assert fitted.execution.lane_reason == "eager: the extension module was not built"
    monkeypatch.undo()
    assert_same_bits(fitted, fit(plan(DENSE, epochs=2, tuned=False), 0, splits=blobs()))


def test_every_instruction_set_gives_the_same_numbers(monkeypatch):
    network = {**DEEP, "activation": "silu"}
    fast = fit(plan(network, epochs=4), 0, splits=pictures())
    monkeypatch.setattr(choose, "Steps", lambda: Steps("baseline"))
    base = fit(plan(network, epochs=4), 0, splits=pictures())
    assert base.execution.lane == "plan (baseline)"
    torch.testing.assert_close(weights(fast), weights(base), rtol=1e-4, atol=1e-6)


def test_a_timing_changes_nothing_and_is_recorded(monkeypatch):
    asked = plan({**DEEP, "dropout": 0.2, "normalisation": "batch"}, epochs=3)
    ruled = fit(asked, 0, splits=blobs())
    monkeypatch.setattr(choose, "TIMED_STEPS", 1)
    monkeypatch.setattr(choose, "compare", lambda *given: (0.0, *compare(*given)[1:]))
    state = torch.get_rng_state()
    timed = fit(asked, 0, splits=blobs())
    assert torch.equal(torch.get_rng_state(), state)
    assert "weights agree to" in timed.execution.lane_reason
    assert_same_bits(timed, ruled)
    monkeypatch.setattr(choose, "compare", lambda *given: (0.0, 1.0, 0.5))  # a lane that computes something else
    refused = fit(asked, 0, splits=blobs())
    assert refused.execution.lane == "eager"


compare = choose.compare


@pytest.mark.parametrize(
    ("body", "shape", "why"),
    [
        (nn.Linear(4, 2), (4,), ""),
        (nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(4, 3), nn.GELU()), nn.Linear(3, 2)), (2, 2), ""),
        (nn.Sequential(nn.Linear(4, 3), nn.GELU(approximate="tanh")), (4,), "not of a kind"),
        (nn.Sequential(nn.Linear(4, 3), nn.Softplus()), (4,), "not of a kind"),
        (nn.Sequential(nn.Linear(2, 3)), (4, 2), "not flat"),
        (nn.Sequential(nn.Linear(4, 3).double()), (4,), "float32"),
        (nn.Sequential(nn.ReLU()), (4,), "no linear layer"),
    ],
)
def test_what_is_no_chain_says_why(body, shape, why):
    found = layers_of(body, shape)
    assert why in found if why else not isinstance(found, str)


def test_shared_and_heard_layers_are_no_chain():
    shared = nn.Linear(4, 4)
    assert layers_of(nn.Sequential(shared, nn.ReLU(), shared), (4,)) == "layers share parameters"
    heard = nn.Sequential(nn.Linear(4, 4))
    handle = heard[0].register_forward_hook(lambda *_: None)
    assert layers_of(heard, (4,)) == "0 has hooks or a forward of its own"
    handle.remove()
    assert not isinstance(layers_of(heard, (4,)), str)
    heard[0].forward = torch.neg
    assert layers_of(heard, (4,)) == "0 has hooks or a forward of its own"


def test_labels_that_are_no_class_never_reach_the_kernel():
    data = blobs()
    data.train.targets[0] = 7
    with pytest.raises(IndexError, match="out of bounds"):
        fit(plan(DENSE, epochs=1), 0, splits=data)


def test_a_network_with_frozen_layers_keeps_them(monkeypatch):
    def frozen(*given, **named):
        network = build(*given, **named)
        next(network.body.parameters()).requires_grad_(False)
        return network

    monkeypatch.setattr("equipoise.fit.fit.build", frozen)
    planned, eager = both(DEEP, blobs(), epochs=3)
    start = build(planned.plan.network, planned.splits.signature, planned.splits.preprocessing, 0)
    assert torch.equal(next(planned.network.body.parameters()), next(start.body.parameters()))
    torch.testing.assert_close(weights(planned), weights(eager), rtol=1e-4, atol=1e-6)


def test_one_batch_of_many_pieces_is_one_step(monkeypatch):
    monkeypatch.setattr("equipoise.fit.feed.WHOLE", 50)
    planned, eager = both(DENSE, blobs(), epochs=80, optimizer="gradient-descent", learning_rate=0.3)
    assert planned.steps == 80
    torch.testing.assert_close(weights(planned), weights(eager), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("network", "recipe"),
    [
        (DEEP, {"vitals_every": 1, "max_grad_norm": 0.1}),
        (
            {**DEEP, "activation": "tanh", "normalisation": "batch", "dropout": 0.2},
            {"vitals_every": 3, "accumulate": 2},
        ),
        ({**DEEP, "activation": "sigmoid", "normalisation": "layer"}, {"vitals_every": 20, "optimizer": "momentum"}),
    ],
)
def test_vital_signs_are_those_that_a_watch_reads(network, recipe):
    planned, eager = both(network, blobs(), epochs=6, batch_size=16, **recipe)
    found, expected = ({(one.name, one.part): one for one in fitted.vitals} for fitted in (planned, eager))
    assert found.keys() == expected.keys()
    assert any("body.0.weight" in part for _, part in found)
    for key, one in found.items():
        assert one.steps == expected[key].steps
        for of in ("values", "low", "high"):
            values, others = (np.array(getattr(each, of), float) for each in (one, expected[key]))
            np.testing.assert_allclose(values, others, rtol=2e-3, atol=1e-4)
    assert_same_network(planned, fit(planned.plan.replace(recipe__vitals_every=None), 0, splits=blobs()))


def assert_same_network(one, other):
    state, other_state = one.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(value, other_state[name]) for name, value in state.items())


def test_a_full_batch_needs_no_order():
    data = blobs()
    shuffled, still = (
        fit(plan(DENSE, epochs=70, batch_size=500, shuffle=flag), 0, splits=data) for flag in (True, False)
    )
    assert torch.equal(weights(shuffled), weights(still))
    planned, eager = both(DENSE, data, epochs=70, batch_size=500)
    torch.testing.assert_close(weights(planned), weights(eager), rtol=1e-4, atol=1e-6)
