"""Going back: everything that moves is where it was, bit for bit."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.fit.averaging import Average
from equipoise.fit.lion import Lion
from equipoise.fit.shelf import LAG, Shelf
from equipoise.fit.snapshots import Balanced

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, 0.01),
    "fused": lambda p: torch.optim.AdamW(p, 0.01, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5),
    "lion": lambda p: Lion(p, 0.01),
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def advance(module, optimizer, average, steps, seed):
    draw = torch.Generator().manual_seed(seed)
    for step in range(steps):
        optimizer.zero_grad()
        inputs = torch.randn(16, 4, generator=draw)
        functional.cross_entropy(module(inputs), (inputs[:, 0] > 0).long()).backward()
        optimizer.step()
        average.update(step + 1)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("first", [0, 5])
def test_a_training_that_went_back_repeats_itself(name, first):
    module = network()
    optimizer = OPTIMIZERS[name](module.parameters())
    average = Average("exponential", tuple(module.parameters()), 0.9)
    balanced = Balanced(module, (optimizer,), average)
    advance(module, optimizer, average, first, 1)
    snapshot = balanced.take(first, {"word": 1})
    advance(module, optimizer, average, 7, 2)
    expected = copy.deepcopy(module.state_dict()), copy.deepcopy(average.values)
    advance(module, optimizer, average, 3, 3)
    balanced.put_back(snapshot)
    assert all(parameter.grad is None for parameter in module.parameters())
    advance(module, optimizer, average, 7, 2)
    for key, value in expected[0].items():
        assert torch.equal(value, module.state_dict()[key]), key
    assert all(torch.equal(a, b) for a, b in zip(expected[1], average.values, strict=True))


def test_a_snapshot_is_a_copy_and_its_memory_is_used_again():
    module = network()
    optimizer = OPTIMIZERS["adam"](module.parameters())
    average = Average("exponential", tuple(module.parameters()), 0.9)
    balanced = Balanced(module, (optimizer,), average)
    advance(module, optimizer, average, 2, 0)
    one = balanced.take(2, {})
    kept = {key: value.clone() for key, value in one.tensors.items()}
    advance(module, optimizer, average, 2, 0)
    assert all(torch.equal(value, one.tensors[key]) for key, value in kept.items())
    places = {key: value.data_ptr() for key, value in one.tensors.items()}
    other = balanced.take(4, {}, one)
    assert {key: value.data_ptr() for key, value in other.tensors.items()} == places
    assert other.bytes() == sum(value.numel() * value.element_size() for value in kept.values())


def test_how_far_the_weights_moved_is_a_share_of_their_norm():
    module = nn.Linear(4, 4, bias=False)
    balanced = Balanced(module, (OPTIMIZERS["sgd"](module.parameters()),))
    with torch.no_grad():
        module.weight.copy_(2 * torch.eye(4))  # norm 4
        snapshot = balanced.take(0, {})
        module.weight[0, 1:4] = torch.tensor([2.0, 3.0, 6.0])  # 7 away
    assert balanced.size(snapshot) == 4.0
    assert balanced.moved(snapshot) == 1.75
    with torch.no_grad():
        module.weight.zero_()
        nothing = balanced.take(0, {})
    assert balanced.size(nothing) == pytest.approx(0.04)  # a hundredth a weight
    assert balanced.moved(nothing) == 0.0


def test_an_optimiser_with_a_memory_of_its_own_begins_anew():
    module = network()
    optimizer = torch.optim.LBFGS(module.parameters())
    inputs = torch.randn(16, 4)

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(module(inputs), (inputs[:, 0] > 0).long())
        loss.backward()
        return loss

    balanced = Balanced(module, (optimizer,))
    optimizer.step(closure)
    snapshot = balanced.take(1, {})
    optimizer.step(closure)
    balanced.put_back(snapshot)
    optimizer.step(closure)
    assert all(bool(torch.isfinite(value).all()) for value in module.parameters())


def test_the_rate_and_the_parameters_of_a_group_are_left_alone():
    module = network()
    optimizer = OPTIMIZERS["momentum"](module.parameters())
    balanced = Balanced(module, (optimizer,))
    snapshot = balanced.take(0, {})
    optimizer.param_groups[0]["lr"] = 0.7
    optimizer.param_groups[0]["momentum"] = 0.1
    balanced.put_back(snapshot)
    assert optimizer.param_groups[0]["lr"] == 0.7
    assert optimizer.param_groups[0]["momentum"] == 0.9


@pytest.mark.parametrize("looks", [64, 512])
def test_the_older_snapshot_lags_and_only_gives_way_to_living_weights(looks):
    module = network()
    shelf = Shelf(Balanced(module, (OPTIMIZERS["sgd"](module.parameters()),)))
    shelf.keep(0, {}, alive_at=0)
    lags = []
    for step in range(64, 4000, 64):
        assert shelf.wants(step)
        assert not shelf.wants(step - 1)
        # The governor looks right after a reading, and hears of it at the next one.
        looked = (min(step, 2048) - 64) // looks * looks + 1
        with torch.no_grad():
            module[0].bias.fill_(float(step))
        shelf.keep(step, {}, alive_at=looked)
        older, newer = shelf.snapshots
        assert newer.step == step
        assert all(one.step == 0 or bool((one.tensors["network.0.bias"] == one.step).all()) for one in (older, newer))
        lags.append(step - older.step)
        if step > looked + 63:  # no look has shown that the newer one was alive when it was taken
            assert older.step < looked
    assert max(lags[:31]) == LAG  # while the outputs differ
    assert shelf.snapshots[0].step < 2048
    assert max(lags) == lags[-1] > 1900  # nothing gave way after the outputs stopped to differ
    newer = shelf.snapshots[1]
    assert shelf.before(4000) is newer
    assert shelf.before(newer.step + 2) is newer
    assert shelf.before(newer.step + 1) is shelf.snapshots[0]
    assert shelf.before(1) is shelf.snapshots[0]
