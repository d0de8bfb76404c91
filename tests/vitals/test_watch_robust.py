"""What else may go on beside a watched training: threads, transforms, further optimisers, copies, wrong calls."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from torch import nn

import equipoise
from equipoise.vitals import forward, watch
from equipoise.vitals.kernel import Kernel
from equipoise.vitals.recorder import Recorder


class Small(nn.Module):
    """Two layers with an activation that is a call, and a place where a test can do something."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, inputs):
        return self.second(torch.tanh(self.first(inputs)))


@pytest.fixture(params=["kernel", "plain"])
def both(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(watch, "Kernel", lambda: Kernel(native=False))


def batch(seed=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(16, 6, generator=generator), torch.randint(3, (16,), generator=generator)


def step(network, optimizer, inputs, labels):
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(inputs), labels).backward()
    optimizer.step()


def trained(network, steps, between=lambda network, at: None, **options):
    """Return what was measured over some steps; `between` is called before each."""
    optimizer, given = torch.optim.Adam(network.parameters(), 1e-2), batch()
    windows = []
    with equipoise.watch(network, optimizer, on_window=windows.append, window=steps, **options) as vitals:
        for at in range(steps):
            between(network, at)
            step(network, optimizer, *given)
    assert not vitals.events
    return windows


def the_same(windows, others):
    assert len(windows) == len(others)
    for one, other in zip(windows, others, strict=True):
        assert one.layers == other.layers
        for kind in ("activation", "gradient", "weight"):
            for name, values in getattr(one, kind).items():
                np.testing.assert_array_equal(values, getattr(other, kind)[name], err_msg=f"{kind} {name}")
        for name in ("steps", "loss", "learning_rate", "seen"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        assert all(map(np.array_equal, one.fired, other.fired))


def test_steps_that_the_kernel_follows_by_itself_are_those_that_python_follows(monkeypatch):
    if not Kernel().name:
        pytest.skip("no kernel was built here")
    heard = []
    hear = Recorder.before_backward
    monkeypatch.setattr(Recorder, "before_backward", lambda self, *given: (heard.append(1), hear(self, *given))[1])

    def layers():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))

    swift = trained(layers(), 40)
    assert len(heard) < 20
    monkeypatch.setattr(Recorder, "_arm", lambda self: None)
    the_same(swift, trained(layers(), 40))
    assert len(heard) > 40


def test_two_trainings_at_once_are_measured_as_each_alone(both):
    alone = [trained(Small(seed), 150) for seed in (1, 2)]
    together = [[], []]
    start = threading.Barrier(2)

    def train(at, network):
        start.wait(30)
        together[at] = trained(network, 150)

    threads = [threading.Thread(target=train, args=(at, Small(at + 1))) for at in range(2)]  # seeds are the process's
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for one, other in zip(together, alone, strict=True):
        the_same(one, other)


@pytest.mark.parametrize("when", ["first", "later"])
def test_calls_of_the_same_network_in_another_thread_disturb_nothing(both, monkeypatch, when):
    entered, left = [], []

    class Followed(forward.Following):
        def __enter__(self):
            entered.append(threading.get_ident())
            return super().__enter__()

        def __exit__(self, *problem):
            left.append(threading.get_ident())
            return super().__exit__(*problem)

    expected = trained(Small(), 12)
    monkeypatch.setattr(forward, "Following", Followed)
    network, others = Small(), []
    at_step = 0 if when == "first" else 9

    def elsewhere():
        others.append(network(batch(3)[0]))

    def meanwhile(*_):
        if threading.current_thread() is threading.main_thread() and here["at"] == at_step and not others:
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join(30)

    here = {"at": 0}
    network.first.register_forward_hook(meanwhile)
    measured = trained(network, 12, lambda _, at: here.update(at=at))
    the_same(measured, expected)
    assert entered == left == [threading.get_ident()]
    assert len(others) == 1


def per_sample(network, inputs):
    def loss(parameters, one):
        return torch.func.functional_call(network, parameters, (one,)).square().mean()

    parameters = {name: one.detach() for name, one in network.named_parameters()}
    return torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, inputs)["first.weight"]


TRANSFORMS = {
    "vmap": lambda network, inputs: torch.vmap(network)(inputs),
    "grad": per_sample,
    "trace": lambda network, inputs: torch.jit.trace(network, inputs)(inputs),
    "script": lambda network, inputs: torch.jit.script(network)(inputs),
    "export": lambda network, inputs: torch.export.export(network, (inputs,)).module()(inputs),
    "meta": lambda network, inputs: copy.deepcopy(network).to("meta")(inputs.to("meta")),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("at_step", [0, 9])
def test_transforms_of_a_watched_network_work_and_are_not_measured(both, transform, at_step):
    inputs, results = batch(3)[0], []

    def between(network, at):
        if at == at_step:
            results.append(TRANSFORMS[transform](network, inputs))

    measured = trained(Small(), 10, between)
    [window] = trained(Small(), 10)
    assert [layer.name for layer in measured[0].layers] == ["first", "second"]
    np.testing.assert_array_equal(measured[0].loss, window.loss)
    np.testing.assert_allclose(measured[0].activation["mean"], window.activation["mean"], rtol=1e-5, atol=1e-7)
    assert measured[0].seen.tolist() == window.seen.tolist()
    assert results[0].shape[0] == 16


def test_what_cannot_be_read_is_dropped_and_noted(monkeypatch):
    monkeypatch.setattr(watch, "Kernel", lambda: Kernel(native=False))
    network, given = Small(), batch()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    with equipoise.watch(network, optimizer) as vitals:
        monkeypatch.setattr(
            forward, "activation_statistics", lambda *_: (torch.zeros(8, device="meta"), torch.zeros(3, 5))
        )
        step(network, optimizer, *given)
        window = vitals.read()
    assert window.steps.tolist() == [1]
    assert {event.kind for event in vitals.events} == {"hook_failed"}


def stale(vitals):
    names = {one.name for one in vitals.symptoms() if one.verdict in ("warn", "fail")}
    kinds = {event.kind for event in vitals.events}
    return (names & {"missing-zero-grad", "gradient-ascent"}) | (kinds & {"stale_gradient"})


def test_an_adversarial_pair_clears_its_gradients_each_before_its_own_step(both):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    judge = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    one, other = (torch.optim.Adam(network.parameters(), 2e-3) for network in (generator, judge))
    loss, real, made = nn.BCEWithLogitsLoss(), torch.ones(32, 1), torch.zeros(32, 1)
    with equipoise.watch(generator, one) as first, equipoise.watch(judge, other) as second:
        for _ in range(160):
            points, fakes = torch.randn(32, 2) + 2, generator(torch.randn(32, 2))
            other.zero_grad()
            (loss(judge(points), real) + loss(judge(fakes.detach()), made)).backward()
            other.step()
            one.zero_grad()
            loss(judge(fakes), real).backward()
            one.step()
        assert stale(first) == stale(second) == set()


def test_two_optimisers_that_take_turns_clear_each_their_own(both):
    network, (inputs, labels) = Small(), batch()
    one = torch.optim.Adam(network.first.parameters(), 1e-2)
    other = torch.optim.Adam(network.second.parameters(), 1e-2)
    with equipoise.watch(network, one) as vitals:
        for _ in range(100):
            for optimizer in (one, other):
                step(network, optimizer, inputs, labels)
        assert stale(vitals) == set()


def test_copies_load_where_this_package_is_absent(both):
    network, (inputs, labels) = Small(), batch()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    with equipoise.watch(network, optimizer):
        first = pickle.dumps(network)  # also the hooks on the network as a whole
        step(network, optimizer, inputs, labels)
        copies = [pickle.loads(pickle.dumps(network)), copy.deepcopy(network)]
        assert b"equipoise" not in first.replace(Small.__module__.encode(), b"")
        assert b"equipoise" not in pickle.dumps(network)
    expected = network(inputs)
    for one in copies:
        assert torch.equal(one(inputs), expected)
        one(inputs).sum().backward()
    assert pickle.loads(first)(inputs).shape == expected.shape


@pytest.mark.parametrize("given", [([],), (3,), ("loss",), (), (torch.zeros(2),), (torch.zeros(()), [None, None, 3])])
def test_wrong_calls_get_the_message_of_torch(given):
    def said():
        with pytest.raises((RuntimeError, TypeError, AssertionError)) as raised:
            torch.autograd.backward(*given)
        return str(raised.value)

    if given == ([],):
        torch.autograd.backward([])  # nothing to do, and torch says so
        with equipoise.watch(Small()):
            torch.autograd.backward([])
        return
    expected = said()
    with equipoise.watch(Small()):
        assert said() == expected


def test_a_backward_that_was_taken_before_leaves_what_the_optimiser_sees(both):
    backward = torch.autograd.backward
    network, (inputs, labels) = Small(), batch()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    with equipoise.watch(network, optimizer) as vitals:
        for _ in range(3):
            optimizer.zero_grad()
            backward(nn.functional.cross_entropy(network(inputs), labels))
            optimizer.step()
        window = vitals.read()
    assert window.steps.tolist() == [1, 2, 3]
    assert np.isnan(window.loss).all()
    assert (window.gradient["norm"] > 0).all()
    assert not vitals.events


def test_what_cannot_be_watched_is_said():
    with pytest.raises(ValueError, match=r"got a network of type int; expected a torch\.nn\.Module\. Give"):
        equipoise.watch(3)
    with pytest.raises(ValueError, match=r"got an optimizer of type int; expected a torch\.optim\.Optimizer or None\."):
        equipoise.watch(Small(), optimizer=3)


def test_a_watch_that_nobody_holds_ends(both):
    backward, trace, network = torch.autograd.backward, torch.jit.trace, Small()
    optimizer, given = torch.optim.SGD(network.parameters(), 0.1), batch()
    vitals = equipoise.watch(network, optimizer)
    vitals.open()
    step(network, optimizer, *given)
    assert torch.autograd.backward is not backward
    del vitals
    assert torch.autograd.backward is backward
    assert torch.jit.trace is trace
    assert not any(module._forward_hooks for module in network.modules())
    step(network, optimizer, *given)


@pytest.mark.usefixtures("both")
def test_a_training_without_numbers_ends_as_it_would_unwatched():
    network = Small().to("meta")
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    with equipoise.watch(network, optimizer) as vitals:
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.empty(16, 6, device="meta")).sum().backward()
            optimizer.step()
        window = vitals.read()
    assert len(window.steps) == 3
    assert np.isnan(window.loss).all()
    assert {event.kind for event in vitals.events} <= {"hook_failed"}
