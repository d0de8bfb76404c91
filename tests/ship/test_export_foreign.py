"""Networks that were made elsewhere are exported like those of the families."""

import pytest
import torch
from exported_cases import IMAGE, IMAGE_NUMBERS, images
from torch import nn

from equipoise.networks.adopt import adopt
from equipoise.networks.archive import foreign_plan_of
from equipoise.ship.export import export


def written_by_hand():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3), nn.Softmax(1))


@pytest.mark.parametrize("to", ["onnx", "pt2", "safetensors"])
def test_a_module_handed_over_in_python(to, tmp_path):
    inputs = images(9, torch.Generator().manual_seed(0))
    network = adopt(written_by_hand(), IMAGE, preprocessing=IMAGE_NUMBERS)
    parity = export(
        network,
        to,
        tmp_path / f"n.{to}",
        inputs,
        run="r",
        plan=foreign_plan_of(network),
        preprocessing=IMAGE_NUMBERS,
    )
    assert parity.passed
    assert parity.run == "r"
    torch.testing.assert_close(network.answer(inputs), written_by_hand()(inputs))


@pytest.mark.parametrize(
    ("to", "convertible"),
    [
        pytest.param("onnx", True, marks=pytest.mark.slow),  # its layers become torch's own: like the module above
        ("onnx", False),
        ("pt2", True),
        ("pt2", False),
        ("safetensors", True),
        ("safetensors", False),
    ],
)
def test_a_keras_network(to, convertible, tmp_path):
    keras = pytest.importorskip("keras", reason="the extra keras is not installed")
    layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten()]
    if not convertible:
        layers.append(keras.layers.UnitNormalization())
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(3, activation="softmax")])
    inputs = images(9, torch.Generator().manual_seed(0))
    expected = model(inputs.permute(0, 2, 3, 1), training=False).detach()
    network = adopt(model, IMAGE, preprocessing=IMAGE_NUMBERS)
    parity = export(
        network,
        to,
        tmp_path / f"n.{to}",
        inputs,
        run="r",
        plan=foreign_plan_of(network),
        preprocessing=IMAGE_NUMBERS,
    )
    assert parity.passed
    with torch.no_grad():
        torch.testing.assert_close(network.eval().answer(inputs), expected, atol=1e-5, rtol=1e-4)
