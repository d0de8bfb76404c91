"""Structure and first weights: faults by construction, by weights and by inputs are told apart."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from equipoise.core.estimate import Verdict
from equipoise.examine.probes.batch_statistics import batch_statistics
from equipoise.examine.probes.dead_at_birth import dead_at_birth
from equipoise.examine.probes.depth import by_depth
from equipoise.examine.probes.dropout_rate import dropout_rate
from equipoise.examine.probes.initialisation import initialisation
from equipoise.examine.probes.linear_stack import linear_stack
from equipoise.examine.probes.saturated_at_birth import saturated_at_birth
from equipoise.examine.probes.setup import Setup

X = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
Y = X[:, :3].argmax(1)
CE = nn.CrossEntropyLoss()


def seeded(*layers: object) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return nn.Sequential(
            *(layer() if callable(layer) and not isinstance(layer, nn.Module) else layer for layer in layers)
        )


def linear(i: int, o: int) -> object:
    return lambda: nn.Linear(i, o)


def setup(network: nn.Module, x: Tensor = X, y: Tensor = Y, batch_size: int = 32) -> Setup:
    return Setup(network, CE, lambda p: torch.optim.Adam(p, lr=1e-3), (x, y), batch_size=batch_size, epochs=3)


def strongest(symptom: object) -> str:
    return max(symptom.suggests, key=symptom.suggests.get)


def test_a_stack_without_non_linearities():
    plain = linear_stack(setup(seeded(linear(8, 16), linear(16, 16), nn.Dropout(0.2), linear(16, 3))))
    assert (plain.verdict, strongest(plain)) == (Verdict.FAIL, "missing_activation")
    assert plain.where == ("layer:0", "layer:1")
    images = torch.randn(60, 1, 8, 8)
    layers = (nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 4, 2), nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 3))
    pooled = linear_stack(setup(seeded(*layers, nn.Softmax(-1)), images, Y[:60]))
    assert strongest(pooled) == "missing_activation"
    normal = linear_stack(setup(seeded(linear(8, 16), nn.BatchNorm1d(16), linear(16, 3))))
    assert strongest(normal) == "missing_activation"


@pytest.mark.parametrize(
    "network",
    [
        seeded(linear(8, 16), nn.ReLU(), linear(16, 3)),
        seeded(linear(8, 16), nn.LeakyReLU(0.5), linear(16, 3)),
        seeded(linear(8, 16), nn.LayerNorm(16), linear(16, 3)),
        seeded(linear(8, 16), nn.ReLU(), linear(16, 2), linear(2, 16), nn.ReLU(), linear(16, 3)),
    ],
)
def test_networks_with_non_linearities(network):
    found = linear_stack(setup(network))
    assert found.verdict == Verdict.PASS
    assert found.suggests.get("missing_activation", 0) < 1


def test_one_layer_is_no_stack():
    assert linear_stack(setup(seeded(linear(8, 3)))).verdict == Verdict.SKIPPED


def test_symmetric_weights():
    network = seeded(linear(8, 16), nn.ReLU(), linear(16, 3))
    for layer in (network[0], network[2]):
        nn.init.constant_(layer.weight, 0.1)
        nn.init.zeros_(layer.bias)
    found = initialisation(setup(network))
    assert (found.verdict, strongest(found), found.where[0]) == (Verdict.FAIL, "bad_initialization", "layer:0")
    # A last layer of zeros is a sound way to begin: its units have different gradients.
    network = seeded(linear(8, 16), nn.ReLU(), linear(16, 3))
    nn.init.zeros_(network[2].weight)
    assert initialisation(setup(network)).verdict == Verdict.PASS


def deep(act: type[nn.Module], many: int, gain: float = 1.0) -> nn.Module:
    layers: list[object] = []
    for k in range(many):
        layers += [linear(8 if k == 0 else 24, 24), act()]
    network = seeded(*layers, linear(24, 3))
    for module in network.modules():
        if isinstance(module, nn.Linear):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(module.in_features)
                nn.init.normal_(module.weight, 0, gain * (2 / module.in_features) ** 0.5)
            nn.init.zeros_(module.bias)
    return network


def test_profiles_by_depth():
    assert initialisation(setup(deep(nn.ReLU, 6))).verdict == Verdict.PASS
    fading = initialisation(setup(deep(nn.Sigmoid, 7)))
    assert strongest(fading) == "vanishing_gradient"
    assert fading.verdict in (Verdict.WARN, Verdict.FAIL)
    growing = initialisation(setup(deep(nn.ReLU, 6, gain=6.0)))
    assert {"exploding_gradient", "bad_initialization"} <= set(growing.suggests)


def test_a_profile_agrees_with_what_is_known_of_linear_layers():
    """Layers that double: signals double forwards, and gradients double backwards."""
    network = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(4)))
    for layer in network:
        nn.init.eye_(layer.weight)
        with torch.no_grad():
            layer.weight.mul_(2)
    profile = by_depth(network, lambda o, y: (o * y).sum() / len(o), (X, torch.randn(200, 8)))
    for one, other in pairwise(profile):
        assert other.signal == pytest.approx(2 * one.signal, rel=1e-4)
        assert one.gradient == pytest.approx(2 * other.gradient, rel=1e-4)
    assert profile[0].signal == pytest.approx(2 * float(X.std(0).square().mean().sqrt()), rel=1e-4)


class Last(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.cell, self.head = nn.RNN(2, 12, batch_first=True, nonlinearity="relu"), nn.Linear(12, 3)
        nn.init.orthogonal_(self.cell.weight_hh_l0)
        with torch.no_grad():
            self.cell.weight_hh_l0.mul_(factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


def test_recurrent_weights_that_blow_up():
    x = torch.randn(100, 10, 2)
    found = initialisation(setup(Last(3.0), x, Y[:100]))
    assert (found.verdict, found.where) == (Verdict.FAIL, ("layer:cell",))
    assert found.estimates["spectral radius"].value == pytest.approx(3.0, rel=1e-4)
    assert initialisation(setup(Last(1.0), x, Y[:100])).verdict == Verdict.PASS


class Negated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(-x)


def test_dead_units_by_weights_and_by_construction():
    healthy = seeded(linear(8, 32), nn.ReLU(), linear(32, 32), nn.ReLU(), linear(32, 3))
    assert dead_at_birth(setup(healthy)).verdict == Verdict.PASS
    leaning = deep(nn.ReLU, 3)
    with torch.no_grad():
        for module in leaning.modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(-module.weight.abs())
                module.bias.fill_(-0.1)
    found = dead_at_birth(setup(leaning))
    assert found.verdict == Verdict.FAIL
    assert found.suggests["dying_relu"] == found.suggests["bad_initialization"] == max(found.suggests.values())
    built = dead_at_birth(setup(seeded(linear(8, 16), nn.ReLU(), Negated, linear(16, 3))))
    assert (strongest(built), built.where[0]) == ("dead_layer", "layer:2")
    narrow = seeded(linear(8, 1), nn.LayerNorm(1), nn.Tanh(), linear(1, 3))
    assert dead_at_birth(setup(narrow)).where == ("layer:1",)


def test_saturated_units_by_inputs_and_by_weights():
    network = seeded(linear(8, 32), nn.Sigmoid(), linear(32, 3))
    assert saturated_at_birth(setup(network)).verdict == Verdict.PASS
    inputs = saturated_at_birth(setup(network, 500 * X + 300))
    assert inputs.suggests["unscaled_input"] > inputs.suggests["bad_initialization"]
    heavy = seeded(linear(8, 32), nn.Tanh(), linear(32, 3))
    with torch.no_grad():
        heavy[0].weight.mul_(60)
    weights = saturated_at_birth(setup(heavy))
    assert weights.suggests["bad_initialization"] > weights.suggests["unscaled_input"]
    assert inputs.verdict == weights.verdict == Verdict.FAIL


class Calls(nn.Module):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.body, self.rate = seeded(linear(8, 64), nn.Tanh(), linear(64, 3)), rate

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.dropout(self.body[1](self.body[0](x)), self.rate, self.training)
        return self.body[2](hidden)


@pytest.mark.parametrize("rate", [0.3, 0.9])
@pytest.mark.parametrize("kind", ["module", "call", "alpha"])
def test_dropout_is_measured(kind, rate):
    module = nn.AlphaDropout(rate) if kind == "alpha" else nn.Dropout(rate)
    network = Calls(rate) if kind == "call" else seeded(linear(8, 64), nn.Tanh(), module, linear(64, 3))
    found = dropout_rate(setup(network))
    assert found.estimates["dropped"].value == pytest.approx(rate, abs=0.03)
    assert (found.verdict == Verdict.FAIL) == (rate > 0.8)
    assert ("too_much_dropout" in found.suggests) == (rate > 0.8)


def test_batches_too_small_for_their_statistics():
    network = seeded(linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), linear(16, 3))
    small = batch_statistics(setup(network, batch_size=2))
    assert (small.verdict, strongest(small), small.where[0]) == (
        Verdict.FAIL,
        "batch_size_too_small",
        "loop.batch_size",
    )
    sound = batch_statistics(setup(network, batch_size=32))
    assert sound.verdict == Verdict.PASS
    assert sound.estimates["values a channel"].value == 32
    assert small.estimates["movement by company"].value > 2 * sound.estimates["movement by company"].value
    images = torch.randn(60, 1, 6, 6)
    pictures = seeded(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    assert batch_statistics(setup(pictures, images, Y[:60], batch_size=2)).estimates["values a channel"].value == 32
