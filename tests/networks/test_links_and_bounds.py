"""Residual links and spectral normalisation as options of a family."""

import pytest
import torch
from torch import nn

from equipoise.core.network_plan import DenseNetwork, ResidualNetwork
from equipoise.core.preprocessing import NoNumbers, Preprocessing
from equipoise.core.signature import ArrayInput, Signature, Task
from equipoise.networks.blocks import group_count, normalisation
from equipoise.networks.build import build

SIGNATURE = Signature(inputs=ArrayInput(shape=(5,)), task=Task(kind="multiclass", classes=("a", "b", "c")))
PLAIN = Preprocessing(inputs=NoNumbers())


def built(plan):
    return build(plan, SIGNATURE, PLAIN, 0)


def test_linked_layers_add_what_they_got():
    network = built(DenseNetwork(hidden=(8, 8, 6), links=True))
    first, bend, second, third, last = network.body
    inputs = torch.randn(4, 5)
    hidden = bend(first(inputs))
    hidden = hidden + torch.relu(second.branch[0](hidden))
    hidden = third.shortcut(hidden) + torch.relu(third.branch[0](hidden))
    assert torch.allclose(network.scores(inputs), last(hidden))
    assert isinstance(second.shortcut, nn.Identity)
    assert third.shortcut.weight.shape == (6, 8)


def test_links_need_two_hidden_layers():
    with pytest.raises(ValueError, match=r"network.links: got 1 hidden layers"):
        built(DenseNetwork(hidden=(8,), links=True))


def test_hidden_layers_are_bounded_and_the_last_one_is_free():
    network = built(DenseNetwork(hidden=(16, 16), initialisation="he", spectral_norm=True)).train()
    for _ in range(60):
        network(torch.randn(4, 5))
    network.eval()
    layers = [one for one in network.body if isinstance(one, nn.Linear)]
    norms = [torch.linalg.matrix_norm(one.weight, 2).item() for one in layers]
    assert norms[:2] == pytest.approx([1, 1], abs=1e-3)
    assert norms[2] > 1.1
    slopes = torch.func.jacrev(lambda one: network.body[:4](one))(torch.randn(5))
    assert torch.linalg.matrix_norm(slopes, 2) <= 1 + 1e-3


def test_bounds_need_a_hidden_layer():
    with pytest.raises(ValueError, match=r"network.spectral_norm: got a network without a hidden"):
        built(DenseNetwork(hidden=(), spectral_norm=True))


def test_a_residual_network_may_be_bounded_too():
    network = built(ResidualNetwork(channels=(8,), blocks=1, spectral_norm=True))
    network.scores(torch.randn(4, 5)).sum().backward()
    assert all(one.grad is not None for one in network.parameters())


@pytest.mark.parametrize("width", [4, 8, 12, 16, 24, 64, 100])
def test_groups_of_units_are_large_enough_to_say_more_than_a_sign(width):
    groups = group_count(width, image=False)
    assert width % groups == 0
    assert groups == 1 or width // groups >= 8
    assert group_count(width, image=True) >= groups
    (layer,) = normalisation("group", width, image=False)
    assert layer(torch.randn(3, width)).std() > 0.5
