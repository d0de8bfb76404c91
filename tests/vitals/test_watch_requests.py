"""What is computed when asked for, against closed forms: quadratics, known noise, planted ranks."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import equipoise
from equipoise.vitals.noise import noise_scale, noise_scale_of_adam
from equipoise.vitals.ranks import rank_of


class Quadratic(nn.Module):
    """Half of w' H w, whose Hessian is H everywhere."""

    def __init__(self, eigenvalues, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        turn, _ = torch.linalg.qr(torch.randn(len(eigenvalues), len(eigenvalues), generator=generator))
        self.hessian = turn @ torch.diag(torch.tensor(eigenvalues)) @ turn.T
        self.weights = nn.Parameter(torch.randn(len(eigenvalues), generator=generator))

    def forward(self):
        return 0.5 * self.weights @ self.hessian @ self.weights


@pytest.mark.parametrize(
    "eigenvalues", [[1.0, 2.0, 3.0, 4.0, 10.0], [7.0], [1.0] * 5, [0.1, 0.2, 30.0], [-20.0, 1.0, 2.0, 9.0]]
)
def test_sharpness_of_a_quadratic(eigenvalues):
    network = Quadratic(eigenvalues)
    with equipoise.watch(network, closure=network) as vitals:
        found = vitals.sharpness()
    assert found.low - 1e-3 <= max(eigenvalues) <= found.high + 1e-3
    assert found.value == pytest.approx(max(eigenvalues), rel=0.05)


def test_sharpness_agrees_with_the_whole_hessian_and_touches_nothing():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.BatchNorm1d(4), nn.Dropout(0.2), nn.Linear(4, 1))
    inputs, targets = torch.randn(20, 3), torch.randn(20, 1)

    def loss():
        return nn.functional.mse_loss(network(inputs), targets)

    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    windows = []
    with equipoise.watch(network, optimizer, closure=loss, on_window=windows.append) as vitals:
        loss().backward()
        before = {name: one.clone() for name, one in network.state_dict().items()}
        gradients = [one.grad.clone() for one in network.parameters()]
        state = torch.get_rng_state()
        found = vitals.sharpness()
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())
        assert all(torch.equal(one.grad, other) for one, other in zip(network.parameters(), gradients, strict=True))
        optimizer.step()
    assert windows[0].steps.tolist() == [1]
    network.load_state_dict(before)
    torch.set_rng_state(state)
    names = [name for name, _ in network.named_parameters()]
    shapes = [one.shape for one in network.parameters()]

    def of_flat(flat):
        parts = torch.split(flat, [shape.numel() for shape in shapes])
        values = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        torch.set_rng_state(state)
        return nn.functional.mse_loss(torch.func.functional_call(network, values, (inputs,)), targets)

    flat = torch.cat([one.detach().reshape(-1) for one in network.parameters()])
    wanted = torch.linalg.eigvalsh(torch.autograd.functional.hessian(of_flat, flat))[-1].item()
    assert found.value == pytest.approx(wanted, rel=0.03)


def test_requests_without_a_closure_say_so():
    network = nn.Linear(2, 1)
    vitals = equipoise.watch(network)
    for request in (vitals.sharpness, vitals.noise_scale, vitals.ranks):
        with pytest.raises(ValueError, match="got no closure"):
            request()
    with pytest.raises(ValueError, match="without a graph"):
        equipoise.watch(network, closure=lambda: torch.tensor(1.0)).sharpness()


def noisy(weights, signal, deviation, generator):
    """Return a loss whose gradient is known: `signal` in the first coordinate, and noise in all of them."""
    gradient = deviation * torch.randn(weights.shape, generator=generator)
    gradient.view(-1)[0] += signal
    return (gradient * weights).sum()


@pytest.mark.parametrize("deviation", [0.05, 0.2])
def test_noise_scale_of_known_noise_from_gradients(deviation):
    network, generator = nn.Linear(50, 4, bias=False), torch.Generator().manual_seed(0)
    wanted = 200 * deviation**2
    found = [
        noise_scale(network, lambda: noisy(network.weight, 1.0, deviation, generator), draws=24) for _ in range(30)
    ]
    assert np.median([one.value for one in found]) == pytest.approx(wanted, rel=0.15)
    covered = sum(one.low <= wanted <= one.high for one in found)
    assert covered >= 25  # 95 % intervals; fewer than 25 of 30 with probability below 0.2 %


def test_noise_scale_of_known_noise_from_the_moments_of_adam():
    generator = torch.Generator().manual_seed(0)
    network = nn.Linear(400, 1, bias=False)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0)
    wanted, found = 400 * 0.1**2, []
    with equipoise.watch(network, optimizer) as vitals:
        for number in range(1500):
            optimizer.zero_grad()
            noisy(network.weight, 1.0, 0.1, generator).backward()
            optimizer.step()
            if number >= 300 and number % 20 == 0:
                found.append(vitals.noise_scale().value)
    assert np.mean(found) == pytest.approx(wanted, rel=0.15)


def test_there_is_no_noise_scale_without_moments_or_with_pure_noise():
    network = nn.Linear(50, 4, bias=False)
    assert noise_scale_of_adam(torch.optim.SGD(network.parameters(), lr=0.1)) is None
    generator = torch.Generator().manual_seed(0)
    found = noise_scale(network, lambda: noisy(network.weight, 0.0, 1.0, generator))
    assert found.high > 100
    with pytest.raises(ValueError, match="draws=2"):
        noise_scale(network, lambda: noisy(network.weight, 0.0, 1.0, generator), draws=2)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_ranks_of_equal_directions_are_their_number(rank):
    basis, _ = torch.linalg.qr(torch.randn(400, rank, generator=torch.Generator().manual_seed(0), dtype=torch.double))
    basis = torch.linalg.qr(basis - basis.mean(0))[0]
    found = rank_of(basis @ torch.linalg.qr(torch.randn(20, rank, dtype=torch.double))[0].T + 5)
    assert found.effective == pytest.approx(rank, rel=1e-6)
    assert found.stable == pytest.approx(rank, rel=1e-6)
    assert (found.rows, found.units) == (400, 20)


def test_effective_rank_is_the_entropy_of_the_singular_values():
    values = torch.tensor([4.0, 2.0, 1.0, 1.0], dtype=torch.double)
    left = torch.linalg.qr(torch.randn(300, 4, dtype=torch.double))[0]
    left = torch.linalg.qr(left - left.mean(0))[0]
    found = rank_of(left * values)
    shares = values / 8
    assert found.effective == pytest.approx(math.exp(-(shares * shares.log()).sum()), rel=1e-6)
    assert found.stable == pytest.approx((16 + 4 + 1 + 1) / 16, rel=1e-6)
    assert rank_of(torch.ones(10, 3)).effective == 1.0


def test_ranks_of_a_network_with_a_narrow_layer():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(432, 2), nn.Linear(2, 30))
    before = [one.clone() for one in network.parameters()]
    vitals = equipoise.watch(network)
    found = vitals.ranks(torch.randn(64, 1, 8, 8))
    assert found["4"].effective <= 2.0001
    assert found["0"].units == 12
    assert found["0"].effective > 3
    assert all(torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True))
    assert not any(module._forward_hooks for module in network.modules())
