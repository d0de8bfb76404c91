"""Looking at units and mending them, against what can be computed by hand."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.fit.activity import Looker
from equipoise.fit.surgery import Surgery


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Tanh())


def test_a_look_reads_what_a_forward_pass_shows_and_changes_nothing():
    one = network()
    other = copy.deepcopy(one)
    inputs = torch.randn(32, 4)
    looker = Looker(one)
    looker.arm()
    states = []
    for module in (one, other):
        torch.manual_seed(5)
        out = module(inputs)
        out.sum().backward()
        states.append(
            (out.detach(), torch.get_rng_state(), one[0].weight.grad if module is one else other[0].weight.grad)
        )
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), other.buffers(), strict=True))
    look = looker.take()
    assert not looker.armed
    assert looker.take() is None
    first = functional.linear(inputs, one[0].weight, one[0].bias).detach()
    mean, deviation = look.usual["0"]
    assert mean == pytest.approx(float(first.mean()), abs=1e-5)
    assert deviation == pytest.approx(float(first.std(0, correction=0).square().mean().sqrt()), rel=1e-4)
    expected = float(states[0][0].std(0, correction=0).max() / states[0][0].abs().max())
    assert look.output_variation == pytest.approx(expected, rel=1e-4)
    assert not look.is_constant


@pytest.mark.parametrize("size", [1.0, 1e6])
def test_one_answer_for_all_samples_is_constant_whatever_its_size(size):
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        module[0].bias.fill_(-100.0)
        module[2].bias.mul_(size)
    looker = Looker(module)
    looker.arm()
    module(torch.randn(32, 4))
    assert looker.take().is_constant


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (nn.Linear(4, 2), torch.randn(1, 4).expand(8, 4)),
        (nn.Linear(4, 2).bfloat16(), torch.randn(8, 4).bfloat16()),
    ],
    ids=["equal samples", "half precision"],
)
def test_what_cannot_be_told_is_not_called_constant(module, inputs):
    looker = Looker(module)
    looker.arm()
    module(inputs)
    assert not looker.take().is_constant


@pytest.mark.parametrize("dead", [True, False])
def test_single_samples_are_compared_with_one_another(dead):
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    if dead:
        nn.init.constant_(module[0].bias, -100.0)
    one, looker = Looker(module), Looker(module)
    one.arm()
    for k in range(8):
        if k == 5:  # cut off and gone on with
            looker.load(one.state())
            one.disarm()
        assert one.take() is None
        assert looker.take() is None
        module(torch.randn(1, 4))
    assert looker.take().is_constant is dead
    assert one.take() is None


def test_single_sequences_of_different_lengths_are_compared_as_far_as_they_go():
    module = nn.Linear(4, 3)
    looker = Looker(module)
    looker.arm()
    for length in range(2, 10):
        module(torch.randn(1, length, 4))
    look = looker.take()
    assert look.output_variation > 0.1
    assert look.usual == {}


def test_a_validation_is_not_looked_at():
    module = network()
    looker = Looker(module)
    looker.arm()
    with torch.no_grad():
        module(torch.randn(8, 4))
    assert looker.armed
    assert looker.take() is None
    module(torch.randn(8, 4))
    assert looker.take() is not None


def operate(module, what, inputs, usual=None):
    surgery = Surgery(module)
    surgery.order(what, 3, usual or {})
    buffers = [buffer.clone() for buffer in module.buffers()]
    with torch.no_grad():
        module(inputs)  # a validation does not operate
    for buffer, value in zip(module.buffers(), buffers, strict=True):
        buffer.data.copy_(value)
    assert surgery.pending is not None
    before = torch.get_rng_state()
    module.eval()
    module(inputs)
    assert torch.equal(before, torch.get_rng_state())
    assert surgery.pending is None
    assert not [one for one in module.modules() if one._forward_hooks or one._forward_pre_hooks]
    return surgery.units


def test_every_hidden_unit_is_brought_to_its_usual_activity():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 16), nn.Sigmoid(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))
    with torch.no_grad():
        module[0].weight.mul_(500)
        module[2].bias.add_(9.0)
    last = copy.deepcopy(module[4].state_dict())
    inputs = torch.randn(256, 4)
    assert operate(module, "scale-units", inputs, {"2": (0.5, 2.0)}) == 24
    first = module[0](inputs)
    second = module[2](module[1](first))
    torch.testing.assert_close(first.mean(0), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(first.std(0, correction=0), torch.ones(16), rtol=1e-3, atol=0)
    torch.testing.assert_close(second.mean(0), torch.full((8,), 0.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(second.std(0, correction=0), torch.full((8,), 2.0), rtol=1e-3, atol=0)
    assert all(torch.equal(value, last[key]) for key, value in module[4].state_dict().items())


def test_only_silent_units_are_drawn_anew_layer_after_layer():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 2))
    with torch.no_grad():
        module[0].bias[:3] = -100.0
        module[3].weight.copy_(-module[3].weight.abs())
        module[3].bias.fill_(-1.0)
    kept = module[0].weight[3:].detach().clone()
    inputs = torch.randn(64, 1, 8)
    assert operate(module, "revive-units", inputs) == 3 + 8
    assert torch.equal(module[0].weight[3:], kept)
    assert float(module[0].bias[:3].detach().abs().max()) == 0
    hidden = module[3](module[2](module[1](module[0](inputs))))
    assert bool((hidden.amax(0) > 0).all())


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_units_are_drawn_until_they_speak_on_the_samples_at_hand(rows):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 40), nn.ReLU(), nn.Linear(40, 2))
    nn.init.constant_(module[0].bias, -100.0)
    inputs = torch.rand(rows, 4)
    assert operate(module, "revive-units", inputs) == 40
    assert bool((module[0](inputs).amax(0) > 0).all())


def test_tied_and_frozen_weights_are_respected():
    torch.manual_seed(0)
    shared = nn.Linear(4, 4)
    frozen = nn.Linear(4, 4).requires_grad_(False)
    module = nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), frozen, nn.Tanh(), nn.Linear(4, 2))
    still = frozen.weight.clone()
    assert operate(module, "scale-units", torch.randn(64, 4)) == 4
    assert torch.equal(frozen.weight, still)
