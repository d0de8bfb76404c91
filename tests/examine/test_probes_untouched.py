"""Everything is left as it was found: losses and loops with a state of their own, and the global generators."""

import random
import subprocess
import sys
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import equipoise
from equipoise.examine.probes.setup import Setup
from equipoise.examine.probes.untouched import untouched

X = torch.randn(24, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Running(nn.Module):
    """A loss that keeps a moving average in a buffer, learns a temperature, counts and draws."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.temperature = nn.Parameter(torch.ones(()))
        self.calls, self.history, self.last = 0, [], deque(maxlen=3)
        self.generator = torch.Generator().manual_seed(1)
        self.numbers = np.random.default_rng(1)

    def forward(self, outputs, targets):
        value = functional.cross_entropy(outputs * self.temperature, targets)
        self.mean.mul_(0.9).add_(0.1 * value.detach())
        self.calls += 1
        self.history.append(float(value.detach()))
        self.last.append(self.calls)
        self.extra = torch.rand((), generator=self.generator) + self.numbers.random()
        return value

    def state(self):
        kept = (self.calls, list(self.history), list(self.last), self.training, self.temperature.grad)
        drawn = (self.generator.get_state().sum().item(), str(self.numbers.bit_generator.state))
        return (kept, drawn, float(self.mean), float(self.temperature.detach()), hasattr(self, "extra"))


class Counting:
    def __init__(self):
        self.calls, self.level = 0, torch.zeros(2)

    def __call__(self, outputs, targets):
        self.calls += 1
        self.level += 1
        return functional.cross_entropy(outputs, targets)

    def method(self, outputs, targets):
        self.calls += 1
        return functional.cross_entropy(outputs, targets)

    def state(self):
        return self.calls, self.level.tolist()


def closing():
    seen, calls = [], 0

    def loss(outputs, targets):
        nonlocal calls
        calls += 1
        seen.append(calls)
        return functional.cross_entropy(outputs, targets)

    return loss, lambda: (calls, list(seen))


def stateful():
    module, counting, (closure, state), other = Running(), Counting(), closing(), Counting()
    inner = Counting()
    return {
        "module": (module, module.state),
        "object": (counting, counting.state),
        "closure": (closure, state),
        "method": (other.method, other.state),
        "inside a closure": (lambda outputs, targets: inner(outputs, targets), inner.state),
    }


@pytest.mark.parametrize("kind", list(stateful()))
def test_a_loss_with_a_state_is_put_back(kind):
    loss, state = stateful()[kind]
    network = nn.Linear(4, 2)
    before = state()
    with untouched(Setup(network, loss, lambda p: torch.optim.SGD(p, lr=0.1), (X, Y))):
        loss(network(X), Y).backward()
        loss(network(X), Y)
        assert state() != before
    assert state() == before


class InPlace(nn.Module):
    """Centres its inputs where they lie."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        return self.body(x.sub_(1.0))


def test_preflight_and_diagnose_leave_loss_data_and_generators_alone():
    loss, network = Running(), InPlace()
    inputs = X.clone()
    before, parameters = loss.state(), [id(one) for one in loss.parameters()]
    drawn = (random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist())
    equipoise.preflight(network, loss, lambda p: torch.optim.Adam(p, lr=1e-2), (X, Y))
    assert loss.state() == before
    equipoise.diagnose(
        network, loss, lambda p: torch.optim.Adam(p, lr=1e-2), train=(X, Y), batch_size=8, epochs=1, budget_s=5
    )
    assert loss.state() == before
    assert [id(one) for one in loss.parameters()] == parameters
    assert torch.equal(X, inputs), "a network that works in place works on copies of rows"
    assert drawn == (random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist())


def test_loading_draws_nothing_from_the_global_generators():
    script = """
import random
state = random.getstate()
import equipoise
assert callable(equipoise.preflight) and callable(equipoise.diagnose)
assert random.getstate() == state
"""
    subprocess.run([sys.executable, "-c", script], check=True)
