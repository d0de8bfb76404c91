"""Layer table and layer walk against closed forms and torch's own counter."""

import pytest
import torch
from network_cases import EVERY, PLANS, case, raw
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from equipoise.networks.adopt import adopt
from equipoise.networks.build import build
from equipoise.networks.layers import layer_rows, layer_table, layer_text, total
from equipoise.networks.walk import named_layers

ONE_TASK = [entry for entry in EVERY if entry[2] in ("multiclass", "reconstruction", "generation")]


@pytest.mark.parametrize(("family", "kind", "task"), ONE_TASK)
def test_totals_are_the_sum_of_unique_parameters_and_of_torchs_operations(family, kind, task):
    signature, preprocessing = case(kind, task)
    network = build(PLANS[family], signature, preprocessing, 0)
    inputs = raw(kind)
    layers = layer_table(network, inputs)
    everything = total(layers)
    assert everything.parameters == sum(one.numel() for one in network.parameters())
    with FlopCounterMode(display=False) as counter:
        network(inputs)
    if family != "recurrent":
        assert everything.operations == counter.get_total_flops() // 2 // len(inputs)
    assert layer_table(network, inputs[:2]) == layers


@pytest.mark.parametrize(("cell", "gates"), [("plain", 1), ("lstm", 4), ("gru", 3)])
def test_operations_of_recurrent_layers_by_closed_form(cell, gates):
    signature, preprocessing = case("sequence", "multiclass")
    plan = PLANS["recurrent"].replace(cell=cell, hidden=[5])
    fused = layer_table(build(plan, signature, preprocessing, 0), raw("sequence"))
    assert total(fused).operations == 6 * gates * 5 * (3 + 5) + 5 * 3
    looped = layer_table(build(plan.replace(activation="elu"), signature, preprocessing, 0), raw("sequence"))
    assert total(looped).operations == total(fused).operations


def test_one_row_by_hand():
    signature, preprocessing = case("image", "multiclass")
    network = build(PLANS["convolutional"], signature, preprocessing, 0)
    row = next(one for one in layer_table(network, raw("image")) if one.kind == "Conv2d")
    assert (row.path, row.output_shape, row.parameters) == ("body.0", (4, 8, 6), 4 * (2 * 9 + 1))
    assert (row.operations, row.memory_bytes) == (8 * 6 * 4 * 2 * 9, 8 * 6 * 4 * 4)


class Shared(nn.Module):
    """Runs its second layer first, uses one layer twice, multiplies outside any layer, and never runs `idle`."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, 3)
        self.first = nn.Linear(5, 5)
        self.twin = nn.Linear(5, 5)
        self.twin.weight = self.first.weight
        self.idle = nn.Linear(2, 2)
        self.matrix = nn.Parameter(torch.eye(5))

    def forward(self, inputs):
        return self.last(self.twin(self.first(self.first(inputs))) @ self.matrix)


def test_shared_parameters_count_once_and_every_call_costs():
    signature, _ = case("vector", "multiclass")
    network = adopt(Shared(), signature)
    layers = {one.path: one for one in layer_table(network, raw("vector"))}
    assert layers["body.module.first"].parameters == 30
    assert layers["body.module.twin"].parameters == 5
    assert layers["body.module.first"].operations == 50
    assert layers["body.module"].parameters == 25
    assert layers["body.module"].operations == 25
    assert layers["body.module.idle"].operations == 0
    assert total(tuple(layers.values())).parameters == sum(one.numel() for one in network.parameters())


def test_layers_come_in_the_order_of_running_when_inputs_are_given():
    signature, _ = case("vector", "multiclass")
    network = adopt(Shared(), signature)
    names = [path.removeprefix("body.module.") for path, _ in named_layers(network, raw("vector"))]
    assert names == ["body.arrange", "first", "twin", "last", "idle"]
    assert all(network.get_submodule(path) is layer for path, layer in named_layers(network))


def test_a_network_is_left_as_it_was():
    signature, preprocessing = case("image", "multiclass")
    network = build(PLANS["residual"].replace(dropout=0.5), signature, preprocessing, 0).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.random.get_rng_state()
    layer_table(network, raw("image"))
    named_layers(network, raw("image"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(one.training for one in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in network.modules())


def test_the_table_as_text_ends_with_the_total():
    signature, preprocessing = case("image", "multiclass")
    network = build(PLANS["convolutional"], signature, preprocessing, 0)
    rows = layer_rows(network, raw("image"))
    assert rows[-1]["layer"] == "total"
    assert rows[-1]["parameters"] == f"{sum(one.numel() for one in network.parameters()):,}"
    lines = layer_text(network, raw("image")).splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "parameters", "operations", "memory"]
    assert lines[-1].startswith("total")
