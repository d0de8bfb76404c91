"""Modules made elsewhere and the family networks that they are like: what is built again has the same layers."""

import pytest
import torch
from torch import nn

from equipoise.core.network_plan import ConvolutionalNetwork, DenseNetwork, RecurrentNetwork
from equipoise.networks.dense import dense
from equipoise.networks.features import Features
from equipoise.networks.recognise import recognise


def shapes(module: nn.Module) -> list[torch.Size]:
    return [parameter.shape for parameter in module.parameters()]


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.GELU, nn.Sigmoid])
def test_a_dense_network_is_built_again(act):
    module = nn.Sequential(nn.Linear(5, 8), act(), nn.Dropout(0.3), nn.Linear(8, 4), act(), nn.Linear(4, 3))
    plan = recognise(module)
    assert isinstance(plan, DenseNetwork)
    assert (plan.hidden, plan.dropout, plan.normalisation) == ((8, 4), 0.3, "none")
    built = dense(plan, Features("vector", (5,)), 3)
    assert shapes(built) == shapes(module)
    built.load_state_dict(dict(zip(built.state_dict(), module.state_dict().values(), strict=True)))
    x = torch.randn(7, 5)
    assert torch.equal(built.eval()(x), module.eval()(x))


def test_an_activation_at_the_end_is_none_between_layers():
    plan = recognise(nn.Sequential(nn.Linear(5, 8), nn.Identity(), nn.Linear(8, 1), nn.Sigmoid()))
    assert isinstance(plan, DenseNetwork)
    assert plan.activation == "linear"


def test_images_and_sequences():
    image = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 10)
    )
    plan = recognise(image)
    assert isinstance(plan, ConvolutionalNetwork)
    assert (plan.channels, plan.kernel, plan.hidden, plan.normalisation) == ((6,), 5, (), "batch")

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRU(3, 7, num_layers=2, bidirectional=True)
            self.out = nn.Linear(14, 2)

    plan = recognise(Reader())
    assert isinstance(plan, RecurrentNetwork)
    assert (plan.cell, plan.hidden, plan.bidirectional) == ("gru", (7, 7), True)


def test_what_has_no_such_layer_is_not_recognised():
    assert recognise(nn.Sequential(nn.Flatten(), nn.ReLU())) is None
