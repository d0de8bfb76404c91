"""An exception of the own loop is named by what was raised and where, and a step that returns no loss is no fault."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.core.estimate import Verdict
from equipoise.examine.diagnosis.diagnose import diagnose
from equipoise.examine.probes.own_step import own_step
from equipoise.examine.probes.parameters_move import parameters_move
from equipoise.examine.probes.setup import Setup, restarted, take_step

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def net(*end):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), *end)


def setup(step, make=net, optimizer=torch.optim.SGD, batch_size=16):
    def begin():
        network = make()
        return network, optimizer(network.parameters(), lr=0.1)

    network, made = begin()
    given = {"batch_size": batch_size, "epochs": 1, "step": step, "begin": begin}
    return Setup(network, functional.cross_entropy, made, (X, Y), **given)


def loop(loss=functional.cross_entropy, before=lambda x: x, after=lambda value: value, take=lambda one: one.step()):
    def step(network, optimizer, batch):
        optimizer.zero_grad()
        value = after(loss(network(before(batch[0])), batch[1]))
        value.backward()
        take(optimizer)
        return value.detach()

    return step


def raises(*_):
    raise KeyError("weights")


CASES = {
    "vector loss": (loop(lambda o, y: functional.cross_entropy(o, y, reduction="none")), "loss_mismatch", "loss"),
    "a number": (loop(after=lambda value: value.item()), "parameters_without_gradient", "loop.backward"),
    "a cut graph": (loop(after=lambda value: value.detach()), "parameters_without_gradient", "loop.backward"),
    "types": (loop(lambda o, y: functional.cross_entropy(o, y.int())), "loss_mismatch", "loss"),
    "shapes": (loop(lambda o, y: functional.cross_entropy(o, y[:-1])), "shape_broadcast", "loss"),
    "features": (loop(before=lambda x: x[:, :3]), "shape_broadcast", "loop.forward"),
    "no such loss": (loop(lambda o, y: criterion(o, y)), "loss_mismatch", "loss"),
}


@pytest.mark.parametrize("kind", list(CASES))
def test_what_was_raised_is_named_and_placed(kind):
    step, fault, place = CASES[kind]
    found = own_step(setup(step))
    assert found.verdict is Verdict.FAIL
    assert (max(found.suggests, key=found.suggests.get), found.where[0]) == (fault, place), found.claim


def test_a_batch_of_one_and_a_step_without_a_closure():
    normed = own_step(setup(loop(), lambda: net(nn.BatchNorm1d(2)), batch_size=1))
    assert (list(normed.suggests), normed.where) == (["batch_size_too_small"], ("loop.batch_size",))
    forgotten = own_step(setup(loop(), optimizer=torch.optim.LBFGS))
    assert (list(forgotten.suggests), forgotten.where[0]) == (["wrong_optimizer"], "loop.step")


@pytest.mark.parametrize(
    ("step", "words", "place"),
    [
        (raises, "in the body of the loop", "loop.step"),
        (loop(take=lambda one: one.load_state_dict({})), "in the step of the optimiser", "loop.step"),
        (loop(before=lambda x: x.nothing), "in the body of the loop", "loop.step"),
    ],
)
def test_what_no_fault_explains_is_said_in_its_own_words_alone(step, words, place):
    found = own_step(setup(step))
    assert (found.verdict, found.suggests) == (Verdict.FAIL, {})
    assert words in found.claim
    assert found.where == (place,)


def test_probes_that_need_the_step_refer_to_it_and_are_no_errors():
    found = parameters_move(setup(raises))
    assert found.verdict is Verdict.SKIPPED
    assert "`own-step` says" in found.claim


def test_the_message_with_the_cure_comes_first():
    vector = CASES["vector loss"][0]
    given = setup(vector)
    found = diagnose(
        given.network, given.loss, given.optimizer, train=given.train, step=vector, begin=given.begin, budget_s=5
    )
    assert (found.causes[0].fault, found.causes[0].where) == ("loss_mismatch", "loss")
    assert "grad can be implicitly created only for scalar outputs" in found.causes[0].evidence[0]
    assert "take its mean" in found.causes[0].evidence[0]


@pytest.mark.parametrize("change", [lambda value: None, lambda value: (value, 1), lambda value: torch.ones(3)])
def test_a_step_that_returns_no_loss_is_no_fault_and_the_loss_is_measured(change):
    training = loop()

    def step(network, optimizer, batch):
        return change(training(network, optimizer, batch))

    given = setup(step)
    found = own_step(given)
    assert (found.verdict, found.suggests) == (Verdict.UNSURE, {})
    assert "Return loss.detach()" in found.claim
    state = restarted(given)
    told = take_step(given, state, (X, Y))
    assert float(told) == pytest.approx(float(functional.cross_entropy(state.network(X), Y)))
    assert state.network.training


def shares(outputs, targets):
    return functional.cross_entropy(outputs.softmax(1), targets)


def likelihood(outputs, targets):
    return functional.nll_loss(outputs.softmax(1), targets)


def binary(outputs, targets):
    return functional.binary_cross_entropy_with_logits(outputs[:, 0].sigmoid().view(-1, 1), targets.float()[:, None])


MISFED = {shares: "double_softmax", likelihood: "loss_mismatch", binary: "double_softmax"}


@pytest.mark.parametrize("loss", list(MISFED))
def test_a_loss_that_is_given_what_another_expects_is_heard_inside_of_the_step(loss):
    found = own_step(setup(loop(loss)))
    assert found.verdict is Verdict.FAIL
    assert max(found.suggests, key=found.suggests.get) == MISFED[loss]
    assert found.where == ("loss",)


@pytest.mark.parametrize(
    "sound",
    [
        functional.cross_entropy,
        lambda o, y: functional.nll_loss(o.log_softmax(1), y),
        lambda o, y: functional.cross_entropy(o.log_softmax(1), y),
        lambda o, y: functional.binary_cross_entropy_with_logits(o[:, 0], y.float()),
        lambda o, y: functional.binary_cross_entropy(o[:, 0].sigmoid(), y.float()),
    ],
)
def test_losses_that_are_given_what_they_expect_pass(sound):
    assert own_step(setup(loop(sound))).verdict is Verdict.PASS


def test_what_the_network_itself_puts_out_is_left_to_the_pairing():
    assert own_step(setup(loop(), lambda: net(nn.Softmax(1)))).verdict is Verdict.PASS
