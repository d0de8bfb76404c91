"""The Keras callback, in Keras on the torch backend."""

import numpy as np
import plain_training
import pytest
import torch

from equipoise.networks.keras_models import keras_module

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras' own
keras = keras_module()

from equipoise.vitals.adapters.keras import WatchCallback  # noqa: E402
from equipoise.vitals.adapters.keras_view import KerasView  # noqa: E402


class Residual(keras.layers.Layer):
    """A layer of the user's own that keeps two others as attributes and a third in a list."""

    def __init__(self, units):
        super().__init__(name="residual")
        self.first = keras.layers.Dense(units, activation="relu")
        self.second = keras.layers.Dense(units)
        self.listed = [keras.layers.Dense(units, name="listed")]

    def call(self, inputs):
        return inputs + self.listed[0](self.second(self.first(inputs)))


class Subclassed(keras.Model):
    """The same network as a class."""

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(8, activation="relu", name="hidden")
        self.answer = keras.layers.Dense(3, name="answer")

    def call(self, inputs):
        return self.answer(self.hidden(inputs))


def functional():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="answer")(hidden))


def sequential():
    layers = (keras.layers.Dense(8, activation="relu", name="hidden"), keras.layers.Dense(3, name="answer"))
    return keras.Sequential([keras.Input((4,)), *layers])


def compiled(build, **options):
    """Return a model with the weights of the training by hand."""
    model = build()
    model(np.zeros((1, 4), np.float32))  # builds it
    first, _, second = plain_training.network()
    wanted = [one.detach().numpy() for layer in (first, second) for one in (layer.weight.T, layer.bias)]
    model.set_weights(wanted)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", **options)
    return model


def batches(epochs=2):
    inputs, targets = plain_training.data()
    return list(zip(inputs.split(8), targets.split(8), strict=True)) * epochs


def fit(model, callbacks, **options):
    inputs, targets = (one.numpy() for one in plain_training.data())
    return model.fit(inputs, targets, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks, **options)


@pytest.mark.parametrize("build", [sequential, functional, Subclassed])
def test_numbers_agree_with_a_training_by_hand(build):
    windows = []
    callback, model = WatchCallback(window=3, on_window=windows.append), compiled(build)
    data = tuple(one.numpy() for one in plain_training.data())
    fit(model, [callback], validation_data=data)
    course = plain_training.train(plain_training.network(), batches())
    names = ["hidden.kernel", "hidden.bias", "answer.kernel", "answer.bias"]
    assert [one.name for one in windows[0].weights] == names
    assert [one.layer for one in windows[0].weights] == ["hidden", "hidden", "answer", "answer"]
    assert [(one.name, one.activation, one.units) for one in windows[0].layers] == [
        ("hidden", "relu", 8),
        ("answer", "", 3),
    ]
    # What a Keras layer puts out is what its activation made, so the first layer's mean is taken after the ReLU.
    network, means = plain_training.network(), []
    for inputs, targets in batches():
        means.append(network[:2](inputs).double().mean().item())
        plain_training.train(network, [(inputs, targets)])
    course.means[:] = means
    assert plain_training.agrees(windows, course)
    rates = np.concatenate([one.learning_rate for one in windows])
    assert rates == pytest.approx(0.1)
    assert callback.vitals.events == ()
    for ours, theirs in zip(model.get_weights(), course.weights, strict=True):
        np.testing.assert_allclose(ours, theirs.T, atol=1e-6)


def test_watching_changes_no_bit():
    plain, watched = compiled(sequential), compiled(sequential)
    fit(plain, [])
    fit(watched, [WatchCallback()])
    for one, other in zip(plain.get_weights(), watched.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_nothing_is_left_behind():
    before = torch.autograd.backward
    model = compiled(sequential)
    apply = model.optimizer.apply
    fit(model, [WatchCallback()])
    assert "apply" not in vars(model.optimizer)
    assert model.optimizer.apply == apply
    assert torch.autograd.backward is before
    assert not model._forward_hooks
    assert not any(layer._forward_hooks for layer in model.layers)


class Breaks(keras.callbacks.Callback):
    """Fails in the third step."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            raise RuntimeError("the loader broke")


def test_a_training_that_fails_is_let_go_by_the_with_statement():
    before = torch.autograd.backward
    model = compiled(sequential)
    with pytest.raises(RuntimeError, match="the loader broke"), WatchCallback() as callback:
        fit(model, [callback, Breaks()])
    assert "apply" not in vars(model.optimizer)
    assert torch.autograd.backward is before
    assert any(vital.name == "loss" for vital in callback.vitals.history.vitals())


def test_layers_within_layers_have_paths():
    inner = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, activation="tanh", name="deep")], name="inner")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, name="wide"),
            inner,
            Residual(8),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(3, name="answer"),
        ]
    )
    model.compile(optimizer="adam", loss="mse")
    windows = []
    fit(model, [WatchCallback(on_window=windows.append)])
    (window,) = windows
    assert [one.name for one in window.layers] == [
        "wide",
        "inner.deep",
        "residual.first",
        "residual.second",
        "norm",
        "answer",
    ]
    assert [one.activation for one in window.layers] == ["", "tanh", "relu", "", "", ""]
    names = {one.name: one.layer for one in window.weights}
    assert names["residual.listed/kernel"] == "residual"
    assert names["inner.deep.kernel"] == "inner.deep"
    assert "norm.gamma" in names
    assert not any("moving" in name for name in names)
    assert np.isfinite(window.gradient["norm"]).all()
    assert np.isfinite(window.activation["mean"]).all()
    assert sum(one.count for one in window.weights) == sum(int(np.prod(v.shape)) for v in model.trainable_weights)


def test_frozen_layers_are_there_and_do_not_move():
    model = compiled(sequential)
    model.layers[0].trainable = False
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    windows = []
    fit(model, [WatchCallback(on_window=windows.append)])
    (window,) = windows
    index = [one.name for one in window.weights].index("hidden.kernel")
    assert not window.weights[index].trainable
    assert not np.nan_to_num(window.weight["update_ratio"][:, index]).any()
    assert np.isnan(window.gradient["norm"][:, index]).all()


def test_a_schedule_shows_in_the_learning_rate():
    model = compiled(sequential)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1, decay_rate=0.5)
    model.compile(optimizer=keras.optimizers.SGD(schedule), loss="mse")
    windows = []
    fit(model, [WatchCallback(on_window=windows.append)])
    assert windows[0].learning_rate == pytest.approx([0.1 * 0.5**k for k in range(8)], rel=1e-5)


def test_recurrent_layers_count_as_one():
    model = keras.Sequential([keras.Input((5, 4)), keras.layers.LSTM(6, name="memory"), keras.layers.Dense(2)])
    model.compile(optimizer="adam", loss="mse")
    windows = []
    rng = np.random.default_rng(0)
    model.fit(
        rng.normal(size=(16, 5, 4)),
        rng.normal(size=(16, 2)),
        batch_size=8,
        verbose=0,
        callbacks=[WatchCallback(on_window=windows.append)],
    )
    assert windows[0].layers[0].name == "memory"
    assert len(windows[0].layers) == 2
    assert {one.layer for one in windows[0].weights} == {"memory", model.layers[1].name}


def test_the_view_follows_the_models_mode_and_calls():
    model = compiled(sequential)
    view, called = KerasView(model), []
    model.eval()
    assert view.training is False
    model.train()
    assert view.training is True
    handle = view.register_forward_hook(lambda *_: called.append(1))
    model(np.zeros((1, 4), np.float32))
    handle.remove()
    assert called == [1]
