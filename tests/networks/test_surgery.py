"""Copies of a network with one thing changed."""

import pytest
import torch
from torch import nn

from equipoise.networks.calls import calls, calls_and_results
from equipoise.networks.surgery import (
    bare_layers,
    hidden_activations,
    reinitialised,
    widened,
    with_activation_after,
    with_dropout_at_most,
    with_hidden_activation,
    with_modules,
    without_output_activation,
)


class Functional(nn.Module):
    """A network whose activations are plain calls."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 8)
        self.second = nn.Linear(8, 3)

    def forward(self, inputs):
        return torch.softmax(self.second(torch.relu(self.first(inputs))), -1)


def chain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.9), nn.Linear(8, 3), nn.Sigmoid())


INPUTS = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))


def test_calls_come_in_order_with_their_places():
    heard = calls(chain(), INPUTS)
    assert [(one.kind, one.name, one.path) for one in heard] == [
        ("weights", "Linear", "0"),
        ("activation", "relu", "1"),
        ("dropout", "Dropout", "2"),
        ("weights", "Linear", "3"),
        ("activation", "sigmoid", "4"),
    ]
    assert [one.is_output for one in heard] == [False, False, False, False, True]


def test_plain_calls_are_heard_too_and_belong_to_the_module_that_makes_them():
    heard = calls(Functional(), INPUTS)
    activations = [one for one in heard if one.kind == "activation"]
    assert [(one.name, one.path, one.is_module) for one in activations] == [("relu", "", False), ("softmax", "", False)]
    assert activations[-1].is_output


def test_calls_leave_the_network_as_it_was():
    network = chain().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    calls(network, INPUTS)
    assert network.training
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_results_are_what_the_layers_put_out_even_when_written_over_in_place():
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(inplace=True), nn.Linear(8, 2))
    found = calls_and_results(network, INPUTS)
    assert torch.allclose(found[0][1], network[0](INPUTS))
    assert torch.allclose(found[1][1], network[0](INPUTS).relu())


@pytest.mark.parametrize("make", [chain, Functional])
def test_without_output_activation_gives_what_went_into_it(make):
    torch.manual_seed(0)
    network = make().eval()
    bare = without_output_activation(network, calls(network, INPUTS))
    if isinstance(network, Functional):
        expected = network.second(torch.relu(network.first(INPUTS)))
    else:
        expected = network[:4](INPUTS)
    assert torch.allclose(bare(INPUTS), expected)
    assert not torch.allclose(network(INPUTS), expected)


def test_a_network_without_output_activation_has_none_to_take_away():
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    assert without_output_activation(network, calls(network, INPUTS)) is None


def test_a_redirected_network_still_learns():
    network = Functional()
    bare = without_output_activation(network, calls(network, INPUTS))
    bare(INPUTS).sum().backward()
    assert all(parameter.grad is not None for parameter in bare.parameters())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_hidden_activations_are_all_but_the_output():
    heard = calls(chain(), INPUTS)
    assert [one.name for one in hidden_activations(heard)] == ["relu"]
    changed = with_hidden_activation(chain(), heard, nn.Tanh)
    assert [one.name for one in calls(changed, INPUTS) if one.kind == "activation"] == ["tanh", "sigmoid"]


def test_bare_layers_feed_one_another():
    network = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.1), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    heard = calls(network, INPUTS)
    assert bare_layers(network, heard) == ("0",)
    mended = with_activation_after(network, ("0",))
    assert bare_layers(mended, calls(mended, INPUTS)) == ()
    assert bare_layers(chain(), calls(chain(), INPUTS)) == ()


def test_dropout_is_capped_and_not_raised():
    assert with_dropout_at_most(chain(), 0.2)[2].p == 0.2
    assert with_dropout_at_most(with_modules(chain(), {"2": nn.Dropout(0.1)}), 0.2)[2].p == 0.1


def test_new_weights_have_the_deviation_of_their_source():
    network = nn.Sequential(nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 200))
    inputs = torch.randn(4, 400)
    drawn = reinitialised(network, calls(network, inputs), torch.Generator().manual_seed(0))
    assert drawn[0].weight.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)  # He
    assert drawn[2].weight.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.02)  # Glorot
    assert not drawn[0].bias.any()


def test_new_recurrent_weights_are_orthogonal():
    network = nn.Sequential(nn.LSTM(3, 6, batch_first=True))
    drawn = reinitialised(network, calls(network, torch.randn(2, 4, 3)), torch.Generator().manual_seed(0))
    for block in drawn[0].weight_hh_l0.chunk(4):
        assert torch.allclose(block @ block.T, torch.eye(6), atol=1e-5)


def test_a_chain_is_widened_and_anything_else_is_not():
    network = nn.Sequential(nn.Linear(5, 2), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 3))
    wide = widened(network, calls(network, INPUTS), 32, torch.Generator().manual_seed(0))
    assert wide[0].out_features == 32
    assert wide[1].num_features == 32
    assert wide(INPUTS).shape == (7, 3)
    picture = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    assert widened(picture, calls(picture, torch.randn(2, 1, 4, 4)), 32, torch.Generator()) is None


def test_surgery_leaves_the_network_alone():
    network = chain()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    heard = calls(network, INPUTS)
    reinitialised(network, heard, torch.Generator().manual_seed(0))
    widened(network, heard, 32, torch.Generator().manual_seed(0))
    with_dropout_at_most(network, 0.1)
    assert network[2].p == 0.9
    assert network[0].out_features == 8
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
