"""The governor in a plain loop: planted trouble, what it does about it, and healthy loops that it must not touch."""

import copy
import itertools
from statistics import median

import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.fit.governed_loop import governing
from equipoise.fit.governor import Decision


def blobs(n=512, features=8, classes=3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(classes, features, generator=draw)
    labels = torch.randint(classes, (n,), generator=draw)
    return centres[labels] + torch.randn(n, features, generator=draw), labels


def dense(depth=2, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = [8, *[32] * depth]
        layers = [one for a, b in itertools.pairwise(sizes) for one in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(32, 3))


def train(network, optimizer, *, steps=400, batch=32, governed=True, data=None, before=None, seed=0):
    """Train by a plain loop in which `before(step, optimizer)` plants what it likes."""
    inputs, targets = data or blobs()
    order = torch.Generator().manual_seed(seed)
    losses, acts, decision = [], (), Decision.GO_ON
    with torch.random.fork_rng():
        torch.manual_seed(seed)

        def loop(watch):
            for step in range(1, steps + 1):
                if before is not None:
                    before(step, optimizer)
                index = torch.randint(len(inputs), (batch,), generator=order)
                optimizer.zero_grad()
                loss = functional.cross_entropy(network(inputs[index]), targets[index])
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
                if watch is not None and watch.after_step(loss) is Decision.STOP:
                    return Decision.STOP
            return Decision.GO_ON

        if not governed:
            return losses, acts, loop(None)
        with governing(network, optimizer) as watch:
            decision = loop(watch)
        return losses, watch.governor.acts, decision


def accuracy(network):
    inputs, targets = blobs()
    network.eval()
    return float((network(inputs).argmax(1) == targets).float().mean())


def finite(network):
    return all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())


class Rows(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.cell = nn.LSTM(2, hidden, batch_first=True)
        self.readout = nn.Linear(hidden, 3)

    def forward(self, inputs):
        return self.readout(self.cell(inputs.reshape(len(inputs), -1, 2))[0][:, -1])


HEALTHY = {
    "dense": lambda: dense(),
    "convolutional": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 8)), nn.Conv1d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)
    ),
    "recurrent": Rows,
    "batch norm with dropout": lambda: nn.Sequential(
        nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 3)
    ),
}


@pytest.mark.parametrize("kind", HEALTHY)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_healthy_training_keeps_every_bit(kind, optimizer):
    makers = {
        "sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, 5e-3, fused=True),
    }
    torch.manual_seed(0)
    one = HEALTHY[kind]()
    other = copy.deepcopy(one)
    losses, _, _ = train(one, makers[optimizer](one.parameters()), governed=False)
    governed, acts, decision = train(other, makers[optimizer](other.parameters()))
    assert acts == ()
    assert decision is Decision.GO_ON
    assert losses == governed
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_nothing_is_left_on_the_network_and_the_optimiser():
    network = dense()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    train(network, optimizer, steps=20)
    hooked = [module for module in network.modules() if module._forward_hooks or module._forward_pre_hooks]
    assert hooked == []
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_poisoned_sample_is_left_out_and_statistics_stay_clean(poison):
    inputs, targets = blobs()
    inputs[17] = poison
    network = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))
    _, acts, decision = train(network, torch.optim.Adam(network.parameters(), 1e-2), data=(inputs, targets))
    assert decision is Decision.GO_ON
    assert acts[0].what == "skip-batches"
    assert acts[0].outcome == "recovered"
    assert finite(network)
    assert accuracy(network) > 0.9
    assert "rolled" not in acts[0].why
    assert f"step {int(acts[0].numbers['onset'])}" in acts[0].why.replace(",", "")


def test_ungoverned_the_same_poison_ends_the_training():
    inputs, targets = blobs()
    inputs[17] = float("nan")
    network = dense()
    train(network, torch.optim.Adam(network.parameters(), 1e-2), data=(inputs, targets), governed=False)
    assert not finite(network)


@pytest.mark.parametrize(("rate", "length"), [(1e5, 1), (30.0, 1000), (1e3, 1000)])
def test_a_learning_rate_spike_is_rolled_back(rate, length):
    def spike(step, optimizer):
        for group in optimizer.param_groups:
            group["lr"] = rate if 200 <= step < 200 + length else 0.05

    network, alone = dense(), dense()
    train(alone, torch.optim.SGD(alone.parameters(), 0.05), governed=False, before=spike)
    _, acts, _ = train(network, torch.optim.SGD(network.parameters(), 0.05), before=spike, steps=500)
    assert accuracy(alone) < 0.7
    assert accuracy(network) > 0.9
    assert acts[0].step > 200
    assert acts[0].numbers["back_to"] < 200
    if length == 1:
        assert [act.what for act in acts] == ["skip-batches"]
    assert acts[-1].outcome == "recovered"


@pytest.mark.parametrize(
    ("make", "rate", "activation"),
    [
        (torch.optim.SGD, 1e6, nn.ReLU),
        (torch.optim.SGD, 100.0, nn.Tanh),
        (torch.optim.Adam, 1e6, nn.Tanh),
        (torch.optim.Adam, 100.0, nn.ReLU),
    ],
    ids=str,
)
def test_an_absurd_learning_rate_is_brought_down_in_a_few_acts(make, rate, activation):
    inputs, targets = blobs()
    wrong = torch.rand(len(targets), generator=torch.Generator().manual_seed(1)) < 0.2
    data = inputs, torch.where(wrong, (targets + 1) % 3, targets)  # so that no step, however wild, gets all right
    network = dense()
    network[1], network[3] = activation(), activation()
    alone = copy.deepcopy(network)
    wild, _, _ = train(alone, make(alone.parameters(), rate), governed=False, data=data)
    losses, acts, _ = train(network, make(network.parameters(), rate), data=data)
    assert not median(wild[-64:]) < 2 * wild[0]
    assert median(losses[-64:]) < 0.7 * losses[0]
    assert accuracy(network) > 0.9
    assert 1 <= len(acts) <= 3
    assert acts[-1].outcome == "recovered"


class Squares(nn.Module):
    """Its loss is the square of one weight, so a step is known in closed form."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0]))

    def forward(self, inputs):
        return inputs * self.weight


@pytest.mark.parametrize("rate", [1e3, 1e6, 1e9])
def test_the_rate_is_divided_from_where_a_step_is_no_longer_than_the_weights(rate):
    network = Squares()
    optimizer = torch.optim.SGD(network.parameters(), rate)
    with governing(network, optimizer) as watch:
        for _ in range(8):
            optimizer.zero_grad()
            loss = network(torch.ones(4, 1)).square().mean()
            loss.backward()
            optimizer.step()
            watch.after_step(loss)
        for _ in range(100):
            optimizer.zero_grad()
            loss = network(torch.ones(4, 1)).square().mean()
            loss.backward()
            optimizer.step()
            if watch.after_step(loss) is not Decision.GO_ON:
                break
    act = watch.governor.acts[0]
    assert act.what == "lower-step"
    # The first step is 2 x rate x weight, and a divisor of 3 follows.
    assert act.numbers["factor"] == pytest.approx(1 / (2 * rate) / 3)


def test_exploding_gradients_of_a_recurrent_network_are_clipped():
    torch.manual_seed(0)
    network = Rows(hidden=8)
    with torch.no_grad():
        network.cell.weight_hh_l0.mul_(4.0)
    inputs = torch.randn(512, 32)
    total = inputs[:, -8:].sum(1)
    data = inputs, (total > -1.5).long() + (total > 1.5).long()
    alone = copy.deepcopy(network)
    wild, _, _ = train(alone, torch.optim.SGD(alone.parameters(), 50.0), governed=False, data=data)
    losses, acts, _ = train(network, torch.optim.SGD(network.parameters(), 50.0), data=data)
    assert median(wild[-64:]) > 4 * wild[0]
    assert median(losses[-64:]) < 0.6 * losses[0]
    assert [act.what for act in acts] == ["clip-gradients"]
    assert acts[-1].outcome == "recovered"


def test_units_killed_by_a_large_step_come_back_without_it():
    network = dense()
    _, acts, _ = train(network, torch.optim.SGD(network.parameters(), 20.0))
    assert accuracy(network) > 0.9
    assert acts[-1].outcome == "recovered"
    alone = dense()
    train(alone, torch.optim.SGD(alone.parameters(), 20.0), governed=False)
    assert accuracy(alone) < 0.7


def test_units_dead_from_birth_are_revived():
    network = dense(depth=4)
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                layer.weight.copy_(-layer.weight.abs())
                layer.bias.fill_(-0.5)
    alone = copy.deepcopy(network)
    train(alone, torch.optim.Adam(alone.parameters(), 5e-3), governed=False)
    _, acts, _ = train(network, torch.optim.Adam(network.parameters(), 5e-3))
    assert accuracy(alone) < 0.7
    assert [act.what for act in acts] == ["revive-units"]
    assert acts[0].numbers["units"] > 30
    assert acts[0].outcome == "recovered"
    assert accuracy(network) > 0.9


def test_saturated_units_are_scaled_to_their_usual_activity():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 32), nn.Sigmoid(), nn.Linear(32, 32), nn.Sigmoid(), nn.Linear(32, 3))
    with torch.no_grad():
        network[0].bias.fill_(60.0)
    alone = copy.deepcopy(network)
    train(alone, torch.optim.Adam(alone.parameters(), 1e-2), governed=False)
    _, acts, _ = train(network, torch.optim.Adam(network.parameters(), 1e-2))
    assert accuracy(alone) < 0.7
    assert acts[-1].what == "scale-units"
    assert acts[-1].outcome == "recovered"
    assert accuracy(network) > 0.9


def test_what_nothing_cures_is_stopped_with_a_reason():
    network = nn.Sequential(dense(), nn.Linear(3, 1), nn.Softmax(-1))  # one unit: always 1
    inputs, targets = blobs()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    with governing(network, optimizer) as watch:
        for step in range(1000):  # noqa: B007
            optimizer.zero_grad()
            loss = functional.mse_loss(network(inputs[:64]), targets[:64, None].float())
            loss.backward()
            optimizer.step()
            decision = watch.after_step(loss)
            if decision is Decision.STOP:
                break
    acts = watch.governor.acts
    assert decision is Decision.STOP
    assert step < 400
    assert acts[-1].what == "stop"
    assert acts[-1].outcome == "stopped"
    assert {act.outcome for act in acts[:-1]} == {"failed"}
    assert "said the same to every sample" in acts[-1].why
    assert "Nothing helped (revive-units, scale-units, lower-step)" in acts[-1].why


def test_gradient_ascent_is_stopped_at_good_weights():
    network = dense()
    start = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), 0.5, maximize=True)
    losses, acts, decision = train(network, optimizer, steps=3000)
    assert decision is Decision.STOP
    assert len(losses) < 3000
    assert acts[-1].what == "stop"
    for name, value in network.state_dict().items():
        assert torch.equal(value, start[name]), name


def test_a_schedule_of_the_loop_goes_on_while_the_step_is_lowered():
    network = dense()
    optimizer = torch.optim.SGD(network.parameters(), 20.0)
    with governing(network, optimizer) as watch:
        watch.governor.in_force.factor = 0.1
        optimizer.zero_grad()
        functional.cross_entropy(network(blobs()[0]), blobs()[1]).backward()
        before = network[0].weight.detach().clone()
        gradient = network[0].weight.grad.clone()
        optimizer.step()
        torch.testing.assert_close(network[0].weight, before - 2.0 * gradient)
        assert optimizer.param_groups[0]["lr"] == 20.0


def test_memory_holds_two_snapshots_however_long_it_runs():
    network = dense()
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    inputs, targets = blobs()
    size = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    seen = set()
    with governing(network, optimizer) as watch:
        for _ in range(1500):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(inputs[:64]), targets[:64])
            loss.backward()
            optimizer.step()
            watch.after_step(loss)
            seen.add(watch.governor.bytes)
    steps = 4 * len(list(network.parameters()))  # Adam counts steps in a float a parameter
    assert max(seen) == 2 * (3 * size + steps)


def test_the_same_training_takes_the_same_course():
    courses = []
    for _ in range(2):
        network = dense()
        losses, acts, _ = train(network, torch.optim.SGD(network.parameters(), 20.0))
        courses.append((repr(losses), repr(acts)))  # not-a-number is not equal to itself
    assert courses[0] == courses[1]
