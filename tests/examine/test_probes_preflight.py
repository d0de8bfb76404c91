"""All probes together: nothing is touched, nothing breaks the caller, exceptions are diagnoses."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import equipoise
from equipoise.core.diagnosis import Preflight
from equipoise.core.estimate import Verdict
from equipoise.core.faults import FAULTS
from equipoise.examine.probes.all import PROBES
from equipoise.examine.probes.setup import Batch, Setup

X = torch.randn(80, 6, generator=torch.Generator().manual_seed(0))
Y = X[:, :3].argmax(1)
CE = nn.CrossEntropyLoss()


def net(outputs: int = 3, *end: nn.Module) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        hidden = (nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2))
        return nn.Sequential(*hidden, nn.Linear(16, outputs), *end)


def adam(parameters: object) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3)


class Everything:
    """All that an experiment could leave a trace in."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, data: list[Tensor]) -> None:
        self.network, self.optimizer, self.data = network, optimizer, data
        self.before = self.look()

    def look(self) -> dict[str, object]:
        network = self.network
        modules = list(network.modules())
        return {
            "weights": [one.detach().clone() for one in (*network.parameters(), *network.buffers())],
            "gradients": [None if one.grad is None else one.grad.clone() for one in network.parameters()],
            "places": [id(one) for one in network.parameters()],
            "asked": [one.requires_grad for one in network.parameters()],
            "modes": [one.training for one in modules],
            "hooks": [
                (len(one._forward_hooks), len(one._forward_pre_hooks), len(one._backward_hooks)) for one in modules
            ],
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "data": [one.clone() for one in self.data],
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state()[1].copy(),
            "python": random.getstate(),
            "gradient mode": torch.is_grad_enabled(),
        }

    def check(self) -> None:
        for name, value in self.look().items():
            assert _same(value, self.before[name]), name


def _same(one: object, other: object) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def used(network: nn.Module) -> torch.optim.Optimizer:
    """Return an optimiser with a state, and leave gradients behind."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        CE(network(X[:16]), Y[:16]).backward()
        optimizer.step()
    network[3].eval()
    return optimizer


@pytest.mark.parametrize("name", PROBES)
def test_nothing_is_touched(name):
    network = net()
    optimizer = used(network)
    validation = X[:40] + 1
    seen = Everything(network, optimizer, [X, Y, validation])
    found = PROBES[name](Setup(network, CE, optimizer, (X, Y), (validation, Y[:40]), batch_size=16, epochs=3))
    assert found.name == name
    assert found.verdict != Verdict.ERROR, found.claim
    seen.check()


@pytest.mark.parametrize("name", ["parameters-move", "gradients-cleared", "step-descends", "deterministic-evaluation"])
def test_nothing_is_touched_by_a_loop_that_reaches_for_the_original(name):
    network = net()
    optimizer = used(network)

    def begin() -> tuple[nn.Module, torch.optim.Optimizer]:
        return network, optimizer

    def step(given: nn.Module, ignored: object, batch: Batch) -> Tensor:
        random.random(), torch.rand(1), np.random.rand()
        network.train()
        optimizer.zero_grad()
        loss = CE(network(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    def evaluate(given: nn.Module, inputs: Tensor) -> Tensor:
        network.eval()
        return given(inputs)

    seen = Everything(network, optimizer, [X, Y])
    training = Setup(network, CE, optimizer, (X, Y), batch_size=16, epochs=3, step=step, begin=begin, evaluate=evaluate)
    assert PROBES[name](training).verdict != Verdict.ERROR
    seen.check()


def test_preflight_of_a_healthy_network():
    network = net()
    found = equipoise.preflight(network, CE, adam, (X, Y))
    assert isinstance(found, Preflight)
    assert found.healthy, str(found)
    assert {one.name for one in found.symptoms} == set(PROBES)
    assert Preflight.read(found.plain()) == found


def test_preflight_puts_the_worst_first_and_speaks_the_vocabulary():
    found = equipoise.preflight(net(3, nn.Softmax(0)), CE, adam, (1000 * X + 500, Y))
    assert not found.healthy
    severities = [one.verdict.severity for one in found.symptoms]
    assert severities == sorted(severities, reverse=True)
    told = {fault for one in found.symptoms for fault in one.suggests}
    assert {"batch_mixing", "unscaled_input"} <= told <= set(FAULTS)


class Lost(nn.Module):
    """Loses samples on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).view(-1, 6)


RAISING = [
    (net(), CE, (X[:, :4], Y), "shape_broadcast", "inputs", "6 features"),
    (net(), CE, (X.double(), Y), "shape_broadcast", "inputs", "inputs.float()"),
    (net(), CE, (X, Y + 1), "wrong_labels", "targets", "from 0 to 2"),
    (net(), CE, (X, Y.view(-1, 1)), "shape_broadcast", "loss", "squeeze(1)"),
    (net(), CE, (X, Y.int().view(-1, 1)), "shape_broadcast", "loss", "squeeze(1).long()"),
    (net(1), nn.BCEWithLogitsLoss(), (X, (Y > 0).float()), "shape_broadcast", "loss", "unsqueeze(1)"),
    (net(1), nn.BCEWithLogitsLoss(), (X, (Y > 0).long().view(-1, 1)), "loss_mismatch", "loss", "float()"),
    (net(1), nn.BCELoss(), (X, (Y > 0).float().view(-1, 1)), "wrong_output_activation", "layer:4", "sigmoid"),
    (net(1, nn.Sigmoid()), nn.BCELoss(), (X, 40.0 + Y.view(-1, 1)), "loss_mismatch", "loss", "0 to 1"),
    (Lost(), CE, (X, Y), "batch_mixing", "loop.forward", "first axis"),
    (net(), lambda o, y: (o - 1).square(), (X, Y), "loss_mismatch", "loss", "one number"),
    (net(), lambda o, y: (o.detach() - 1).square().mean(), (X, Y), "parameters_without_gradient", "loss", "detach"),
    (net(), lambda o, y: o.log().mean(), (X, Y), "loss_mismatch", "loss", "undefined"),
]


@pytest.mark.parametrize(("network", "loss", "batch", "fault", "place", "said"), RAISING)
def test_exceptions_are_diagnoses(network, loss, batch, fault, place, said):
    found = PROBES["loss-shapes"](Setup(network, loss, adam, batch, batch_size=16))
    assert found.verdict == Verdict.FAIL
    assert found.suggests[fault] == max(found.suggests.values())
    assert place in found.where
    assert said in found.claim


def test_what_raises_is_named_once_and_skipped_elsewhere():
    found = equipoise.preflight(net(), CE, adam, (X[:, :4], Y))
    verdicts = {one.name: one.verdict for one in found.symptoms}
    assert verdicts["loss-shapes"] == Verdict.FAIL
    assert Verdict.ERROR not in verdicts.values()
    assert verdicts["step-descends"] == Verdict.SKIPPED


class Closed(nn.Module):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 3)

    def __deepcopy__(self, memo: object) -> object:
        raise TypeError("no copies of this")

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def test_a_network_that_cannot_be_copied_is_skipped_with_the_reason():
    found = equipoise.preflight(Closed(), CE, adam, (X, Y))
    by_name = {one.name: one for one in found.symptoms}
    assert by_name["gradient-reach"].verdict == Verdict.SKIPPED
    assert "no copies of this" in by_name["gradient-reach"].claim


@pytest.mark.parametrize("n", [1, 2, 5])
def test_tiny_batches_break_nothing(n):
    plain = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    found = equipoise.preflight(plain, CE, adam, (X[:n], Y[:n]))
    assert Verdict.ERROR not in {one.verdict for one in found.symptoms}, str(found)


def test_a_batch_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"got .* expected .* Give"):
        equipoise.preflight(net(), CE, adam, X)
    with pytest.raises(ValueError, match=r"got .* expected .* Give"):
        equipoise.preflight(net(), CE, adam, (X[:0], Y[:0]))
