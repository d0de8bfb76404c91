"""Parameters: the kernel and plain torch against double precision, and how far the sketch is off."""

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.vitals.kernel import Kernel
from equipoise.vitals.parameters import (
    BEFORE,
    BLOCK,
    EXACT,
    GRADIENT,
    MOVED,
    NON_FINITE,
    NOW,
    PARAMETER_SUMS,
    PREVIOUS,
    PRODUCT,
    WEIGHT,
    ZEROS,
    ParameterTable,
    compared_blocks,
    in_memory_order,
)

KERNELS = [Kernel(native=False)] + ([Kernel()] if Kernel().name else [])


class Two(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.wide = nn.Parameter(torch.randn(37, 29).to(dtype))
        self.filters = nn.Parameter(torch.randn(6, 5, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last))
        self.unused = nn.Parameter(torch.randn(4).to(dtype))


def measured(table):
    rows = np.full((1, len(table.weights), len(PARAMETER_SUMS)), np.nan)
    weights, gradients = table.measure(rows, 0, True, True)
    for at, values in weights.items():
        rows[0, at, :3] = values
    for at, values in gradients.items():
        rows[0, at, 3:] = values
    return rows[0]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name or "plain")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_sums_are_those_of_double_precision(kernel, dtype):
    torch.manual_seed(0)
    network = Two(dtype)
    table = ParameterTable(network, kernel)
    table.prepare(None)
    names = [one.name for one in table.weights]
    assert names == ["wide", "filters", "unused"]
    old = {name: one.detach().double().clone() for name, one in network.named_parameters()}
    gradients = {}
    for step in range(3):
        for name in ("wide", "filters"):
            one = getattr(network, name)
            one.grad = torch.randn_like(one)  # keeps the layout
            one.grad[0] = 0.0
        with torch.no_grad():
            for one in network.parameters():
                one -= 0.1 * (torch.zeros_like(one) if one.grad is None else one.grad)
        found = measured(table)
        for at, name in enumerate(names):
            now, gradient = getattr(network, name).detach().double(), getattr(network, name).grad
            assert found[at, WEIGHT] == pytest.approx(now.square().sum().item(), rel=1e-5)
            assert found[at, BEFORE] == pytest.approx(old[name].square().sum().item(), rel=1e-5)
            assert found[at, MOVED] == pytest.approx((now - old[name]).square().sum().item(), rel=1e-4, abs=1e-9)
            old[name] = now.clone()
            if gradient is None:
                assert np.isnan(found[at, GRADIENT:]).all()
                continue
            gradient = gradient.double()
            assert found[at, GRADIENT] == pytest.approx(gradient.square().sum().item(), rel=1e-5)
            assert found[at, NOW] == pytest.approx(gradient.square().sum().item(), rel=1e-5)
            assert found[at, ZEROS] == (gradient == 0).sum().item()
            assert found[at, NON_FINITE] == 0
            if step:
                last = gradients[name]
                assert found[at, PRODUCT] == pytest.approx((gradient * last).sum().item(), rel=1e-3, abs=1e-2)
                assert found[at, PREVIOUS] == pytest.approx(last.square().sum().item(), rel=1e-5)
            else:
                assert np.isnan(found[at, [PRODUCT, PREVIOUS]]).all()
            gradients[name] = gradient.clone()


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name or "plain")
def test_gradients_of_every_kind(kernel):
    """Values that are not finite, sparse gradients, another layout than the step before, and weights that move away."""
    network = Two(torch.float32)
    table = ParameterTable(network, kernel)
    table.prepare(None)
    network.wide.grad = torch.zeros_like(network.wide)
    assert table.cleared()
    network.wide.grad[3, 4], network.wide.grad[0, 0] = torch.nan, torch.inf
    assert not table.cleared()
    network.filters.grad = torch.randn(6, 5, 3, 3)  # contiguous, unlike the weights
    found = measured(table)
    assert found[0, NON_FINITE] == 2
    assert found[1, GRADIENT] == pytest.approx(network.filters.grad.square().sum().item(), rel=1e-5)
    network.wide.grad = None
    network.filters.grad = None
    assert table.cleared()
    assert not table.have_gradients()
    network.wide.data = network.wide.detach() + 1.0  # other memory
    found = measured(table)
    assert found[0, WEIGHT] == pytest.approx(network.wide.detach().square().sum().item(), rel=1e-5)
    assert found[0, MOVED] == pytest.approx(network.wide.numel(), rel=1e-4)


def test_sparse_gradients_are_measured():
    network = nn.Embedding(20, 4, sparse=True)
    table = ParameterTable(network, Kernel())
    table.prepare(None)
    network(torch.tensor([1, 1, 5])).sum().backward()
    found = measured(table)
    assert found[0, GRADIENT] == pytest.approx(4 * 2.0**2 + 4)
    assert found[0, ZEROS] == 18 * 4


def test_memory_order_of_any_layout():
    plain = torch.arange(120.0).view(2, 3, 4, 5)
    assert torch.equal(in_memory_order(plain), plain.view(-1))
    last = plain.contiguous(memory_format=torch.channels_last)
    assert torch.equal(in_memory_order(last), last.permute(0, 2, 3, 1).reshape(-1))
    assert in_memory_order(last).data_ptr() == last.data_ptr()
    assert torch.equal(in_memory_order(plain[:, ::2]), plain[:, ::2].reshape(-1))


def test_blocks_are_apart_and_inside():
    assert compared_blocks(10_000, EXACT) is None
    assert compared_blocks(3_000, 5_000_000) is None  # small ones are compared whole
    for count in (5_000, 123_457, 2_359_296):
        starts = compared_blocks(count, 4_000_000)
        assert (np.diff(starts) >= BLOCK).all()
        assert starts[0] >= 0
        assert starts[-1] + BLOCK <= count


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name or "plain")
@pytest.mark.parametrize(("spread", "of_norm", "of_cosine"), [(0.5, 0.02, 0.02), (1.0, 0.25, 0.15)])
def test_the_sketch_is_as_near_as_stated(kernel, spread, of_norm, of_cosine):
    """Rows and columns of unequal size: `spread` is the deviation of their logarithm."""
    generator = torch.Generator().manual_seed(0)
    errors, angles = [], []
    for _ in range(6):
        rows, columns = torch.randn(1200, 1, generator=generator), torch.randn(1, 1000, generator=generator)
        scale = torch.exp(spread * (rows + columns))
        network = nn.Linear(1000, 1200, bias=False)
        table = ParameterTable(network, kernel)
        table.prepare(None)
        assert table.weights[0].compared < 140_000
        first = scale * torch.randn(1200, 1000, generator=generator)
        second = 0.7 * first + scale * torch.randn(1200, 1000, generator=generator)
        network.weight.grad = first
        measured(table)
        network.weight.grad = second
        with torch.no_grad():
            network.weight -= 1e-3 * second
        found = measured(table)[0]
        share = table.weights[0].compared / network.weight.numel()
        moved = np.sqrt(found[MOVED] / share)
        errors.append(moved / (1e-3 * second.norm().item()) - 1)
        cosine = found[PRODUCT] / np.sqrt(found[NOW] * found[PREVIOUS])
        wanted = nn.functional.cosine_similarity(first.double().flatten(), second.double().flatten(), dim=0).item()
        angles.append(cosine - wanted)
        assert found[GRADIENT] == pytest.approx(second.double().square().sum().item(), rel=1e-5)  # exact all the same
    assert np.sqrt(np.mean(np.square(errors))) < of_norm
    assert np.sqrt(np.mean(np.square(angles))) < of_cosine


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name or "plain")
def test_gradients_too_large_for_single_precision_squares(kernel):
    network = nn.Linear(100, 10, bias=False)
    table = ParameterTable(network, kernel)
    table.prepare(None)
    network.weight.grad = torch.full((10, 100), 1e25)
    found = measured(table)[0]
    assert found[GRADIENT] == pytest.approx(1e53, rel=1e-5)
    assert found[NON_FINITE] == 0
