"""Keras 3 models: converted layers and adapted models give Keras' own numbers."""

import copy
import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from equipoise.networks import keras_models

for needed in ("keras", "h5py"):
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"the extra `keras` is not installed ({needed})", allow_module_level=True)
# Through our own door: Keras imported by itself would write a settings file into the home folder.
keras = keras_models.keras_module()

from network_cases import TASKS  # noqa: E402

from equipoise.core.network_plan import ForeignNetwork  # noqa: E402
from equipoise.core.preprocessing import NoNumbers, Preprocessing  # noqa: E402
from equipoise.core.signature import ArrayInput, ImageInput, Signature, TextInput  # noqa: E402
from equipoise.networks.adopt import adopt  # noqa: E402
from equipoise.networks.archive import foreign_plan_of, load_network, save_network  # noqa: E402
from equipoise.networks.build import build  # noqa: E402
from equipoise.networks.keras_adapter import KerasAdapter  # noqa: E402
from equipoise.networks.keras_chain import NotConvertibleError  # noqa: E402
from equipoise.networks.keras_convert import convert  # noqa: E402
from equipoise.networks.layers import layer_table, total  # noqa: E402
from equipoise.networks.walk import named_layers  # noqa: E402

# Keras' own saving, not ours, reads variables in a way that numpy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
L = keras.layers
NONE = Preprocessing(inputs=NoNumbers())
IMAGE = Signature(inputs=ImageInput(channels=1, height=12, width=10), task=TASKS["multiclass"])


def shaken(model):
    """Give every weight, moving averages included, a value of its own."""
    generator = torch.Generator().manual_seed(0)
    for variable in model.weights:
        with torch.no_grad():
            drawn = torch.rand(variable.value.shape, generator=generator) * 0.6 + 0.1
            if not variable.value.dtype.is_floating_point:
                continue
            sign = torch.where(torch.rand(drawn.shape, generator=generator) < 0.5, -1.0, 1.0)
            variable.value.copy_(drawn if "variance" in variable.path or "gamma" in variable.path else drawn * sign)
    return model


def chain(shape, *layers):
    return shaken(keras.Sequential([keras.Input(shape), *layers]))


CHAINS = {
    "tutorial": lambda: chain(
        (12, 10, 1),
        L.Conv2D(4, 3, activation="relu"),
        L.MaxPooling2D(),
        L.Conv2D(5, 3, activation="relu"),
        L.Flatten(),
        L.Dropout(0.3),
        L.Dense(6, activation="relu"),
        L.Dense(3, activation="softmax"),
    ),
    "same-strided": lambda: chain(
        (12, 10, 1), L.Conv2D(4, 3, strides=2, padding="same"), L.Conv2D(3, 4, padding="same", strides=3), L.Flatten()
    ),
    "same-odd": lambda: chain((11, 9, 2), L.Conv2D(4, (5, 2), strides=(2, 3), padding="same"), L.Flatten()),
    "pool-same": lambda: chain((11, 9, 2), L.MaxPooling2D(3, strides=2, padding="same"), L.Flatten()),
    "average": lambda: chain((12, 10, 2), L.AveragePooling2D(2), L.GlobalAveragePooling2D(), L.Dense(3)),
    "global-max": lambda: chain((6, 6, 2), L.Conv2D(3, 2), L.GlobalMaxPooling2D()),
    "dilated-grouped": lambda: chain((12, 10, 4), L.Conv2D(6, 3, dilation_rate=2, groups=2, use_bias=False)),
    "image-output": lambda: chain((6, 6, 1), L.Conv2D(3, 3), L.Dense(4, activation="gelu"), L.Conv2D(2, 2)),
    "image-norm": lambda: chain((6, 6, 2), L.Conv2D(3, 3), L.BatchNormalization(), L.ReLU(), L.Flatten(), L.Dense(3)),
    "norms": lambda: chain(
        (5,),
        L.Dense(6, use_bias=False),
        L.BatchNormalization(scale=False, epsilon=0.01),
        L.Activation("silu"),
        L.LayerNormalization(),
        L.LeakyReLU(0.3),
        L.Dense(3, activation="log_softmax"),
    ),
    "image-layer-norm": lambda: chain((6, 6, 1), L.Conv2D(3, 3), L.LayerNormalization(), L.Flatten()),
    "reshape": lambda: chain((24,), L.Reshape((4, 3, 2)), L.Conv2D(3, 2), L.Reshape((2, 9)), L.Flatten()),
    "rescale-pad": lambda: chain(
        (6, 6, 1), L.Rescaling(1 / 255, offset=-0.5), L.ZeroPadding2D(((1, 2), (0, 3))), L.Conv2D(2, 3)
    ),
    "mid-softmax": lambda: chain((6, 6, 1), L.Conv2D(3, 3, activation="softmax"), L.Flatten(), L.Dense(3)),
    "activations": lambda: chain(
        (5,),
        *[
            L.Dense(5, activation=name)
            for name in ("elu", "selu", "tanh", "sigmoid", "softplus", "leaky_relu", "relu6")
        ],
    ),
    "lstm": lambda: chain((7, 4), L.LSTM(5, return_sequences=True), L.LSTM(3), L.Dense(3)),
    "gru": lambda: chain((7, 4), L.GRU(5, return_sequences=True), L.GRU(3, use_bias=False), L.Dense(3)),
    "rnn": lambda: chain((7, 4), L.SimpleRNN(5, return_sequences=True), L.SimpleRNN(3, activation="relu")),
    "nested": lambda: shaken(
        keras.Sequential(
            [keras.Input((6, 6, 1)), keras.Sequential([L.Conv2D(3, 3), L.MaxPooling2D()]), L.Flatten(), L.Dense(3)]
        )
    ),
}


@pytest.mark.parametrize("name", [*CHAINS])
def test_converted_layers_give_keras_own_numbers(name):
    model = CHAINS[name]()
    converted = convert(model).eval()
    assert not any(isinstance(one, keras.Layer) for one in converted.modules())
    inputs = torch.randn(3, *model.input_shape[1:], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(converted(inputs), model(inputs, training=False), atol=1e-5)


def test_converted_embeddings_give_keras_own_numbers():
    model = chain((7,), L.Embedding(20, 4), L.LSTM(3), L.Dense(3))
    ids = torch.randint(0, 20, (3, 7))
    assert torch.allclose(convert(model)(ids), model(ids, training=False), atol=1e-5)


def test_a_functional_chain_converts_and_a_branching_one_does_not():
    inputs = keras.Input((5,))
    hidden = L.Dense(4, activation="relu")(inputs)
    straight = shaken(keras.Model(inputs, L.Dense(3)(hidden)))
    values = torch.randn(3, 5)
    assert torch.allclose(convert(straight)(values), straight(values, training=False), atol=1e-5)
    branching = keras.Model(inputs, L.Add()([hidden, L.Dense(4)(hidden)]))
    with pytest.raises(NotConvertibleError, match="layers that form a chain"):
        convert(branching)
    with pytest.raises(NotConvertibleError, match="layers that form a chain"):
        convert(keras.Model(inputs, [hidden, L.Dense(2)(hidden)]))


@pytest.mark.parametrize(
    "layers",
    [
        [L.Bidirectional(L.LSTM(3))],
        [L.LSTM(3, activation="relu")],
        [L.GRU(3, reset_after=False)],
        [L.Conv1D(3, 2)],
        [L.LSTM(3, go_backwards=True)],
    ],
)
def test_layers_without_an_equal_are_named(layers):
    with pytest.raises(NotConvertibleError, match="got .* as .* of .*; expected .*\\. Keep the model"):
        convert(chain((7, 4), *layers))


def branching():
    inputs = keras.Input((12, 10, 1))
    x = L.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    y = L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(x))
    x = L.Dropout(0.5)(L.Add()([x, y]))
    x = L.GlobalAveragePooling2D()(x)
    return shaken(keras.Model(inputs, L.Dense(3, activation="softmax")(x)))


def keras_answer(model, images):
    with torch.no_grad():
        return model(images.permute(0, 2, 3, 1), training=False)


@pytest.mark.parametrize(("make", "converted"), [(CHAINS["tutorial"], True), (branching, False)])
@pytest.mark.parametrize("suffix", ["", ".keras", ".h5"])
def test_a_keras_network_answers_as_keras_does_before_and_after_saving(make, converted, suffix, tmp_path):
    model = make()
    given = model
    if suffix:
        given = tmp_path / f"model{suffix}"
        model.save(given)
    network = adopt(given, IMAGE).eval()
    images = torch.rand(4, 1, 12, 10) * 255
    expected = keras_answer(model, images)
    origin = network.body.origin
    assert (origin.kind, origin.converted, origin.stripped, origin.output) == ("keras", converted, True, "logits")
    assert torch.allclose(network.answer(images), expected, atol=1e-5)
    assert not torch.allclose(network.scores(images).sum(1), torch.ones(4), atol=1e-2)
    assert "softmax" in " ".join(network.notes)
    save_network(network, foreign_plan_of(network), NONE, tmp_path / "n.safetensors")
    again = load_network(tmp_path / "n.safetensors")
    assert torch.equal(again.answer(images), network.answer(images))
    state = again.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.allclose(keras_answer(model, images), expected)


def test_an_adapter_shows_its_layers_once_and_obeys_its_mode():
    model = branching()
    network = adopt(model, IMAGE)
    kinds = [type(layer).__name__ for _, layer in named_layers(network)]
    assert kinds.count("Conv2D") == 2
    assert kinds.count("Dense") == 1
    trainable = sum(variable.value.numel() for variable in model.trainable_weights)
    assert sum(one.numel() for one in network.parameters() if one.requires_grad) == trainable
    images = torch.rand(4, 1, 12, 10) * 255
    layers = layer_table(network, images)
    assert total(layers).parameters == sum(variable.value.numel() for variable in model.weights)
    network.eval()
    assert torch.equal(network.scores(images), network.scores(images))
    moving = next(one for name, one in network.named_parameters() if "moving_mean" in name).clone()
    network.train()
    assert not torch.equal(network.scores(images), network.scores(images))
    now = next(one for name, one in network.named_parameters() if "moving_mean" in name)
    assert not torch.equal(moving, now)
    network.scores(images).sum().backward()
    without = [name for name, one in network.named_parameters() if one.requires_grad and one.grad is None]
    assert without == []


def test_a_deep_copy_of_an_adapter_is_a_twin_of_its_own():
    network = adopt(branching(), IMAGE).eval()
    twin = copy.deepcopy(network)
    images = torch.rand(4, 1, 12, 10) * 255
    assert torch.equal(twin(images), network(images))
    before = network(images)
    with torch.no_grad():
        for parameter in twin.parameters():
            if parameter.is_floating_point():
                parameter.add_(0.1)
    assert torch.equal(network(images), before)
    assert not torch.equal(twin(images), before)


class Written(keras.Model):
    """A subclassed model, which shows its layers but has no configuration of them."""

    def __init__(self):
        super().__init__()
        self.first = L.Dense(6, activation="relu")
        self.last = L.Dense(1, activation="sigmoid")

    def call(self, inputs, training=False):
        return self.last(self.first(inputs))


def test_a_subclassed_model_with_one_sigmoid_unit():
    model = Written()
    signature = Signature(inputs=ArrayInput(shape=(5,)), task=TASKS["binary"])
    network = adopt(model, signature).eval()
    inputs = torch.randn(4, 5)
    assert isinstance(network.body.module, KerasAdapter)
    with torch.no_grad():
        expected = model(inputs, training=False)
    assert network.scores(inputs).shape == (4, 1)
    assert torch.allclose(network.answer(inputs)[:, 1:], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("units", "activation", "task"),
    [(1, "sigmoid", "binary"), (2, "softmax", "binary"), (2, "sigmoid", "multilabel"), (1, None, "binary")],
)
def test_flat_keras_networks_of_every_ending(units, activation, task):
    model = chain((120,), L.Dense(8, activation="relu"), L.Dense(units, activation=activation))
    signature = IMAGE.replace(task=TASKS[task])
    network = adopt(model, signature).eval()
    images = torch.rand(4, 1, 12, 10)
    expected = model(images.flatten(1), training=False)
    expected = expected.sigmoid() if activation is None else expected
    assert network.body.origin.layout == "flat"
    assert torch.allclose(network.answer(images)[:, -1], expected[:, -1], atol=1e-5)
    assert network.scores(images).shape == (4, 2 if task == "multilabel" else 1)


def test_an_unbuilt_model_is_built_by_running_it():
    model = keras.Sequential([L.Dense(4, activation="relu"), L.Dense(3)])
    network = adopt(model, Signature(inputs=ArrayInput(shape=(5,)), task=TASKS["multiclass"]))
    assert network.body.origin.converted
    inputs = torch.randn(4, 5)
    assert torch.allclose(network(inputs), model(inputs), atol=1e-6)


def test_frozen_layers_stay_frozen_and_penalties_are_stated():
    model = chain((5,), L.Dense(4), L.Dense(3, kernel_regularizer="l2"))
    model.layers[0].trainable = False
    network = adopt(model, Signature(inputs=ArrayInput(shape=(5,)), task=TASKS["multiclass"]))
    assert [one.requires_grad for one in network.body.parameters()] == [False, False, True, True]
    assert "weight penalties of 1 Keras layers" in " ".join(network.notes)


def test_a_text_network_in_keras():
    signature = Signature(inputs=TextInput(length=7, vocabulary=20, tokenizer="{}"), task=TASKS["multiclass"])
    model = chain((7,), L.Embedding(20, 4, mask_zero=True), L.LSTM(3), L.Dense(3, activation="softmax"))
    network = adopt(model, signature).eval()
    ids = torch.randint(1, 20, (4, 7))
    ids[0, 3:] = 0
    assert isinstance(network.body.module, KerasAdapter)
    assert torch.allclose(network.answer(ids), model(ids, training=False), atol=1e-5)


def test_a_plan_with_a_keras_file(tmp_path):
    model = CHAINS["tutorial"]()
    model.save(tmp_path / "model.keras")
    plan = ForeignNetwork(path=str(tmp_path / "model.keras"))
    images = torch.rand(4, 1, 12, 10)
    network = build(plan, IMAGE, NONE, 0).eval()
    assert torch.allclose(network.answer(images), keras_answer(model, images), atol=1e-5)


def test_wrong_keras_files_are_refused(tmp_path):
    (tmp_path / "a.keras").write_bytes(b"x")
    with pytest.raises(ValueError, match="got a file that Keras does not open"):
        adopt(tmp_path / "a.keras", IMAGE)
    model = keras.Sequential([keras.Input((12, 10, 1)), L.Flatten(), L.Lambda(lambda x: x * 2), L.Dense(3)])
    model.save(tmp_path / "lambda.keras")
    with pytest.raises(ValueError, match="without Lambda layers"):
        adopt(tmp_path / "lambda.keras", IMAGE)
    with pytest.raises(ValueError, match="got outputs of shape \\(n, 4\\) for 3 classes"):
        adopt(chain((12, 10, 1), L.Flatten(), L.Dense(4)), IMAGE)
    with pytest.raises(ValueError, match="not the shape the network declares"):
        adopt(chain((28, 28, 1), L.Flatten(), L.Dense(3)), IMAGE)


@pytest.mark.parametrize("network", [nn.Linear(3, 3)])
def test_torch_modules_are_not_taken_for_keras(network):
    assert not keras_models.is_keras(network)
    assert not keras_models.is_keras_layer(network)


def test_another_backend_is_refused_with_the_cure(monkeypatch):
    fake = types.ModuleType("keras")
    fake.backend = types.SimpleNamespace(backend=lambda: "jax")
    monkeypatch.setitem(sys.modules, "keras", fake)
    with pytest.raises(RuntimeError, match="got Keras on the backend 'jax'; expected 'torch'. Set the environment"):
        keras_models.keras_module()


def test_the_first_import_asks_for_torch_and_keeps_keras_out_of_the_home_folder(monkeypatch, tmp_path):
    seen = {}

    def require(name, extra):
        seen.update(os.environ)
        Path(os.environ["KERAS_HOME"], "keras.json").write_text("{}")
        return keras

    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(keras_models, "require", require)
    assert keras_models.keras_module() is keras
    assert seen["KERAS_BACKEND"] == "torch"
    assert not Path(seen["KERAS_HOME"]).exists()
    assert "KERAS_HOME" not in os.environ
    assert list(tmp_path.iterdir()) == []


def test_layers_of_one_name_in_two_inner_models_are_both_kept():
    inputs = keras.Input((5,))
    halves = [keras.Sequential([keras.Input((5,)), L.Dense(4, name="same")]) for _ in range(2)]
    joined = L.Concatenate()([half(inputs) for half in halves])
    model = shaken(keras.Model(inputs, L.Dense(3)(joined)))
    network = adopt(model, Signature(inputs=ArrayInput(shape=(5,)), task=TASKS["multiclass"])).eval()
    assert sum(one.numel() for one in network.parameters()) == 2 * 24 + 27
    values = torch.randn(4, 5)
    assert torch.allclose(network(values), model(values, training=False), atol=1e-6)
