"""Plumbing of a loop: planted bugs are found and placed, and sound loops of unusual kinds pass."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from equipoise.core.estimate import Verdict
from equipoise.examine.probes.all import PROBES
from equipoise.examine.probes.batch_independence import batch_independence
from equipoise.examine.probes.deterministic_evaluation import deterministic_evaluation
from equipoise.examine.probes.gradient_reach import gradient_reach
from equipoise.examine.probes.gradients_cleared import gradients_cleared
from equipoise.examine.probes.parameters_move import parameters_move
from equipoise.examine.probes.setup import Setup
from equipoise.examine.probes.step_descends import step_descends
from equipoise.examine.probes.train_eval_agree import train_eval_agree

X = torch.randn(160, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, :3].argmax(1)).long()
CE = nn.CrossEntropyLoss()


def net(*middle: nn.Module) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), *middle, nn.Linear(16, 3))


def adam(parameters: object) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=3e-3)


def setup(network: nn.Module, optimizer: object = adam, loss: object = CE, **loop: object) -> Setup:
    return Setup(network, loss, optimizer, (X, Y), batch_size=16, epochs=5, **loop)


def own(step: object, make: object = net, optimizer: object = adam) -> Setup:
    def begin() -> tuple[nn.Module, torch.optim.Optimizer]:
        network = make()
        return network, optimizer(network.parameters())

    return setup(make(), optimizer, step=step, begin=begin)


def strongest(symptom: object) -> str:
    return max(symptom.suggests, key=symptom.suggests.get)


class Cut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.encoder(x)).detach())


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers, self.head = [nn.Linear(6, 8)], nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.layers[0](x)))


class Anew(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(x @ nn.Parameter(torch.ones(6, 8))))


class Spare(nn.Module):
    """Keeps a layer that it never uses, as networks with several heads do."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.spare = net(), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class ZeroBlock(nn.Module):
    """A residual block whose last weights begin at zero: its first layer has a gradient of 0 at birth, and soundly."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.last(torch.relu(self.first(x))))


@pytest.mark.parametrize(
    ("network", "place"), [(Cut(), "layer:encoder"), (Listed(), "layer:layers"), (Anew(), "loop.forward")]
)
def test_parameters_that_no_gradient_reaches(network, place):
    found = gradient_reach(setup(network))
    assert found.verdict == Verdict.FAIL
    assert strongest(found) == "parameters_without_gradient"
    assert found.where[0] == place


def test_gradients_that_reach_everything():
    assert gradient_reach(setup(net())).verdict == Verdict.PASS
    assert gradient_reach(setup(ZeroBlock())).verdict == Verdict.PASS
    assert gradient_reach(setup(net(nn.BatchNorm1d(16)))).verdict == Verdict.PASS
    frozen = net()
    frozen[0].requires_grad_(False)
    assert gradient_reach(setup(frozen)).verdict == Verdict.PASS
    spare = gradient_reach(setup(Spare()))
    assert spare.verdict == Verdict.UNSURE
    assert spare.where == ("layer:spare",)


def test_gradients_that_are_not_finite():
    found = gradient_reach(setup(net(), loss=lambda o, y: (o * 0).sum().sqrt() + CE(o, y)))
    assert found.verdict == Verdict.FAIL
    assert "not finite" in found.claim


def sound(network: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor]) -> Tensor:
    optimizer.zero_grad()
    loss = CE(network(batch[0]), batch[1])
    loss.backward()
    optimizer.step()
    return loss.detach()


def zero_between(network, optimizer, batch):
    loss = CE(network(batch[0]), batch[1])
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.detach()


def no_step(network, optimizer, batch):
    optimizer.zero_grad()
    loss = CE(network(batch[0]), batch[1])
    loss.backward()
    return loss.detach()


def never_cleared(network, optimizer, batch):
    loss = CE(network(batch[0]), batch[1])
    loss.backward()
    optimizer.step()
    return loss.detach()


def never_cleared_but_clipped(network, optimizer, batch):
    loss = CE(network(batch[0]), batch[1])
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 0.5)
    optimizer.step()
    return loss.detach()


def clipped(limit):
    def step(network, optimizer, batch):
        optimizer.zero_grad()
        loss = CE(network(batch[0]), batch[1])
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), limit)
        optimizer.step()
        return loss.detach()

    return step


def uphill(network, optimizer, batch):
    optimizer.zero_grad()
    loss = -CE(network(batch[0]), batch[1])
    loss.backward()
    optimizer.step()
    return loss.detach()


def accumulating(every: int):
    calls = {"n": 0}

    def step(network, optimizer, batch):
        loss = CE(network(batch[0]), batch[1])
        (loss / every).backward()
        calls["n"] += 1
        if calls["n"] % every == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    return step


def stale(network_parameters: object) -> torch.optim.Optimizer:
    del network_parameters
    return torch.optim.Adam(net().parameters(), lr=1e-3)


def biases(network: nn.Module) -> list[nn.Parameter]:
    return [one for name, one in network.named_parameters() if name.endswith("bias")]


def test_parameters_that_do_not_move():
    cleared = parameters_move(own(zero_between))
    assert (strongest(cleared), cleared.where[0]) == ("parameters_not_updated", "loop.zero_grad")
    forgotten = parameters_move(own(no_step))
    assert (strongest(forgotten), forgotten.where[0]) == ("parameters_not_updated", "loop.step")
    other = parameters_move(setup(net(), stale))
    assert (strongest(other), other.where[0]) == ("parameters_not_updated", "optimizer.params")
    network = net()
    some = parameters_move(setup(network, torch.optim.Adam(biases(network), lr=1e-2)))
    assert (strongest(some), some.where[0]) == ("parameters_not_updated", "optimizer.params")
    assert some.estimates["share moved"].value == 0.5
    nothing = parameters_move(setup(net(), lambda p: torch.optim.SGD(p, lr=0.0)))
    assert nothing.where[0] == "optimizer.lr"


@pytest.mark.parametrize("training", [setup(net()), own(sound), own(accumulating(4)), own(clipped(1.0))])
def test_sound_loops_pass(training):
    for probe in (parameters_move, gradients_cleared, step_descends, gradient_reach):
        assert probe(training).verdict == Verdict.PASS, probe(training).claim


def made_anew(network, optimizer, batch):
    del network, optimizer
    fresh = net()
    return sound(fresh, torch.optim.SGD(fresh.parameters(), lr=0.1), batch)


def cut_in_the_loop(network, optimizer, batch):
    optimizer.zero_grad()
    loss = CE(network[2](network[:2](batch[0]).detach()), batch[1])
    loss.backward()
    optimizer.step()
    return loss.detach()


def test_loops_that_train_something_else():
    anew = parameters_move(own(made_anew))
    assert (strongest(anew), anew.where) == ("parameters_not_updated", ("loop.step",))
    cut = parameters_move(own(cut_in_the_loop))
    assert (strongest(cut), cut.where) == ("parameters_without_gradient", ("loop.forward", "layer:0"))


def test_gradients_that_pile_up():
    for step in (never_cleared, never_cleared_but_clipped):
        found = gradients_cleared(own(step))
        assert found.verdict == Verdict.FAIL
        assert found.where == ("loop.zero_grad",)
    assert gradients_cleared(own(never_cleared)).estimates["share of old gradients"].value == pytest.approx(1, abs=1e-3)


def by_closure(clears: bool):
    def step(network, optimizer, batch):
        def closure():
            if clears:
                optimizer.zero_grad()
            loss = CE(network(batch[0]), batch[1])
            loss.backward()
            return loss

        return optimizer.step(closure)

    return step


def lbfgs(parameters: object) -> torch.optim.Optimizer:
    return torch.optim.LBFGS(parameters, lr=0.1, max_iter=3)


@pytest.mark.parametrize("optimizer", [adam, lbfgs])
def test_gradients_made_in_a_closure_are_judged_as_the_optimiser_sees_them(optimizer):
    for probe in (gradients_cleared, parameters_move, step_descends):
        found = probe(own(by_closure(clears=True), optimizer=optimizer))
        assert found.verdict == Verdict.PASS, found.claim
    piled = gradients_cleared(own(by_closure(clears=False), optimizer=optimizer))
    assert (piled.verdict, piled.where) == (Verdict.FAIL, ("loop.zero_grad",))


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.mark.parametrize("training", [setup(net(), lbfgs), setup(Lazy()), own(sound, Lazy)])
def test_plain_loops_of_lbfgs_and_lazy_networks_are_probed_like_others(training):
    for name, probe in PROBES.items():
        found = probe(training)
        assert found.verdict in (Verdict.PASS, Verdict.SKIPPED, Verdict.UNSURE), f"{name}: {found.claim}"
        assert "raises" not in found.claim
    lazy = [one for one in training.network.modules() if isinstance(one, nn.LazyLinear)]
    assert all(one.has_uninitialized_params() for one in lazy), "only copies were given their shapes"


def negative(parameters: object) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    optimizer.param_groups[0]["lr"] = -0.1
    return optimizer


def test_steps_that_go_uphill_are_placed():
    cases = {
        "optimizer.lr": setup(net(), negative),
        "optimizer.maximize": setup(net(), lambda p: torch.optim.SGD(p, lr=0.1, maximize=True)),
        "loop.backward": own(uphill),
    }
    for place, training in cases.items():
        found = step_descends(training)
        assert found.verdict == Verdict.FAIL
        assert strongest(found) == "gradient_ascent"
        assert found.where == (place,)


def test_the_length_of_a_step_is_told_with_its_reason():
    long = step_descends(setup(net(), lambda p: torch.optim.SGD(p, lr=60.0)))
    assert strongest(long) == "lr_too_high"
    short = step_descends(setup(net(), lambda p: torch.optim.SGD(p, lr=1e-5)))
    assert (strongest(short), short.where[0]) == ("lr_too_low", "optimizer.lr")
    tiny = step_descends(own(clipped(1e-5), optimizer=lambda p: torch.optim.SGD(p, lr=0.1)))
    assert (strongest(tiny), tiny.where[0]) == ("lr_too_low", "loop.clip")
    floor = step_descends(setup(net(), lambda p: torch.optim.Adam(p, lr=1e-3, eps=10.0)))
    assert (strongest(floor), floor.where[0]) == ("wrong_optimizer", "optimizer.eps")


def test_the_best_multiple_of_a_step_on_a_parabola_is_known():
    """For (w - 1)^2 at w = 0 a step of lr 0.05 goes 0.1 of the way to the minimum."""

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return self.w.expand(len(x))

    data = (torch.zeros(32, 1), torch.ones(32))
    training = Setup(One(), nn.MSELoss(), lambda p: torch.optim.SGD(p, lr=0.05), data, batch_size=8, epochs=2)
    found = step_descends(training)
    assert found.estimates["best multiple"].high == pytest.approx(10.0)
    assert found.estimates["cosine"].value == pytest.approx(1.0)


class Mixing(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.body, self.kind = net(), kind

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        if self.kind == "softmax":
            return out.softmax(0)
        if self.kind == "centred":
            return out - out.mean(0)
        return out.reshape(3, -1).T.contiguous().flip(0) if self.kind == "reshaped" else out


@pytest.mark.parametrize("kind", ["softmax", "centred", "reshaped"])
def test_samples_that_are_mixed(kind):
    found = batch_independence(setup(Mixing(kind)))
    assert found.verdict == Verdict.FAIL
    assert strongest(found) == "batch_mixing"


def test_the_first_layer_that_mixes_is_named():
    found = batch_independence(setup(net(nn.Softmax(0))))
    assert found.where == ("layer:2",)


@pytest.mark.parametrize(
    "network", [Mixing("none"), net(nn.BatchNorm1d(16)), net(nn.LayerNorm(16)), net(nn.Dropout(0.5))]
)
def test_samples_that_are_not_mixed(network):
    assert batch_independence(setup(network)).verdict == Verdict.PASS


def forgetful(network: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return network(inputs)


def careful(network: nn.Module, inputs: Tensor) -> Tensor:
    network.eval()
    with torch.no_grad():
        return network(inputs)


class AlwaysDropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = net()

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(self.body(x), 0.5)


def test_evaluation_in_the_wrong_mode():
    for middle in (nn.Dropout(0.5), nn.BatchNorm1d(16)):
        found = deterministic_evaluation(setup(net(middle), evaluate=forgetful))
        assert found.verdict == Verdict.FAIL
        assert (strongest(found), found.where) == ("train_eval_mode", ("loop.evaluate",))
        assert deterministic_evaluation(setup(net(middle), evaluate=careful)).verdict == Verdict.PASS
        assert deterministic_evaluation(setup(net(middle))).verdict == Verdict.PASS
    always = deterministic_evaluation(setup(AlwaysDropping()))
    assert (always.verdict, always.where) == (Verdict.FAIL, ("loop.forward",))
    assert deterministic_evaluation(setup(net(), evaluate=forgetful)).verdict == Verdict.PASS


def dropping() -> nn.Module:
    return net(nn.BatchNorm1d(16), nn.Dropout(0.4))


def in_evaluation_mode(network, optimizer, batch):
    network.eval()
    return sound(network, optimizer, batch)


def in_training_mode(network, optimizer, batch):
    network.train()
    return sound(network, optimizer, batch)


def test_training_in_the_wrong_mode():
    found = train_eval_agree(own(in_evaluation_mode, dropping))
    assert (found.verdict, strongest(found), found.where) == (Verdict.FAIL, "train_eval_mode", ("loop.mode",))
    stays = train_eval_agree(replace(own(sound, dropping), evaluate=careful))
    assert (stays.verdict, strongest(stays)) == (Verdict.FAIL, "train_eval_mode")
    assert "After an evaluation" in stays.claim
    healthy = train_eval_agree(replace(own(in_training_mode, dropping), evaluate=careful))
    assert healthy.verdict == Verdict.PASS, healthy.claim
    assert train_eval_agree(setup(net())).verdict == Verdict.SKIPPED


def test_a_loop_without_a_fresh_start_is_skipped_with_the_reason():
    training = setup(net(), step=sound)
    for probe in (parameters_move, gradients_cleared, step_descends):
        found = probe(training)
        assert found.verdict == Verdict.SKIPPED
        assert "begin" in found.claim
