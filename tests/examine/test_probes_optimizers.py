"""Optimisers for copies of a network: every group keeps its options and its own parameters."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.examine.diagnosis.aspects import aspects
from equipoise.examine.diagnosis.experiments import draft_of
from equipoise.examine.probes.optimizers import for_all, for_the_same, held, optimizer_like, with_rate
from equipoise.examine.probes.setup import Setup, running

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def grouped(network):
    """The head by a large step, the weights of the body by a small one, and the body's biases not at all."""
    body = {"params": [network[0].weight], "lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}
    return torch.optim.SGD([{"params": network[2].parameters(), "lr": 0.5}, body], lr=0.1)


def stepped(network, optimizer, steps=3):
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(network(X), Y).backward()
        optimizer.step()
    return [one.detach().clone() for one in network.parameters()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_copy_with_groups_steps_as_the_original_does():
    network = net()
    optimizer = grouped(network)
    again = copy.deepcopy(network)
    made = optimizer_like(optimizer, network)(again.parameters())
    wrapped = nn.Sequential(copy.deepcopy(network), nn.Identity())
    around = optimizer_like(optimizer, network)(wrapped.parameters())
    wanted = stepped(network, optimizer)
    assert same(stepped(again, made), wanted)
    assert same(stepped(wrapped, around), wanted)
    assert torch.equal(again[0].bias, net()[0].bias), "what no group holds does not move"


class Demanding(torch.optim.SGD):
    """Its constructor wants what its defaults do not tell."""

    def __init__(self, parameters, memory):
        super().__init__(parameters, lr=0.3)
        self.memory = memory


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.LBFGS(p, lr=0.1),
        lambda p: torch.optim.Adagrad(p, lr=0.1),
        lambda p: torch.optim.Rprop(p),
        lambda p: Demanding(p, memory=[1]),
    ],
)
def test_kinds_with_a_state_or_a_constructor_of_their_own(make):
    network = net()
    given = make(network.parameters())
    state = running(Setup(network, functional.cross_entropy, given, (X, Y)))
    assert held(state.optimizer) == {id(one) for one in state.network.parameters()}

    def closure(network, optimizer):
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(X), Y)
        loss.backward()
        return loss

    for one, optimizer in ((state.network, state.optimizer), (network, given)):
        for _ in range(2):
            optimizer.step(lambda one=one, optimizer=optimizer: closure(one, optimizer))
    assert same(state.network.parameters(), network.parameters())


def test_the_state_of_a_training_that_goes_on_comes_along():
    network = net()
    optimizer = grouped(network)
    stepped(network, optimizer)
    state = running(Setup(network, functional.cross_entropy, optimizer, (X, Y)))
    assert same(stepped(state.network, state.optimizer), stepped(network, optimizer))


def test_a_function_that_knows_the_network_gets_its_groups_onto_the_copy():
    network = net()
    before = [one.detach().clone() for one in network.parameters()]
    state = running(Setup(network, functional.cross_entropy, lambda _: grouped(network), (X, Y)))
    moved = stepped(state.network, state.optimizer)
    assert same(network.parameters(), before)
    assert same(moved, stepped(network, grouped(network)))


def test_a_draft_keeps_groups_and_what_is_frozen():
    network = net()
    draft = draft_of(Setup(network, functional.cross_entropy, grouped(network), (X, Y)))
    parameters = list(draft.setup.network.parameters())
    made = with_rate(draft.make_optimizer, 10)(parameters)
    assert [(len(one["params"]), one["lr"], one["momentum"]) for one in made.param_groups] == [
        (2, 5.0, 0),
        (1, 0.1, 0.9),
    ]
    other = for_the_same(draft.make_optimizer, torch.optim.Adam)(parameters)
    assert held(other) == held(made)
    assert held(for_all(draft.make_optimizer)(parameters)) == {id(one) for one in parameters}


def test_tensors_that_are_none_of_the_network_are_left_out():
    network = net()
    made = optimizer_like(torch.optim.Adam(net().parameters()), network)(copy.deepcopy(network).parameters())
    assert held(made) == set()


def test_parameters_without_an_optimiser_are_a_choice_that_may_be_unsound():
    def asked(optimizer):
        return {one.name: one for one in aspects(draft_of(Setup(net(), functional.cross_entropy, optimizer, (X, Y))))}

    assert "trained-parameters" not in asked(torch.optim.Adam)
    choice = asked(lambda p: torch.optim.Adam(list(p)[2:]))["trained-parameters"]
    assert (choice.where, list(choice.faults)) == ("optimizer.params", ["parameters_not_updated"])
