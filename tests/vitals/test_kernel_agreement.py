"""The kernel and its stand-in in torch say the same of the same training."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import equipoise.vitals.watch as watching
from equipoise.vitals.kernel import Kernel


def needs_kernel():
    if not Kernel().name:
        pytest.skip("the kernel was not built: there is no C compiler here")


class Layers(nn.Module):
    """Layers whose outputs are dense, channels last, transposed and cut out of something larger."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.first = nn.Conv2d(1, 5, 3)
        self.second = nn.Linear(5 * 6 * 6, 33)
        self.last = nn.Linear(33, 4)
        self.act, self.squash = nn.ReLU(), nn.Sigmoid()

    def forward(self, x):
        if self.kind == "channels_last":
            x = x.to(memory_format=torch.channels_last)
        x = self.act(self.first(x)).flatten(1)
        x = self.squash(self.second(x))
        if self.kind == "gaps":
            x = x.repeat(1, 2)[:, ::2][:, : self.last.in_features].contiguous()[:, torch.arange(33)]
        return self.last(x)


def windows(kind, native, monkeypatch, *, poison=None, steps=5):
    torch.manual_seed(0)
    network = Layers(kind)
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}.get(kind, torch.float32)
    network = network.to(dtype)
    inputs = torch.randn(16, 1, 8, 8).to(dtype)
    labels = torch.randint(0, 4, (16,))
    if poison is not None:
        inputs[3, 0, 2, 2] = poison
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    seen = []
    monkeypatch.setattr(watching, "Kernel", lambda: Kernel(native=native))
    with watching.watch(network, optimizer, on_window=seen.append):
        for _ in range(steps):
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs).float(), labels).backward()
            optimizer.step()
    (window,) = seen
    return window


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16", "float64", "channels_last", "gaps"])
def test_both_say_the_same(kind, monkeypatch):
    needs_kernel()
    one, other = (windows(kind, native, monkeypatch) for native in (True, False))
    assert one.steps.tolist() == other.steps.tolist()
    assert one.loss == pytest.approx(other.loss)
    assert [layer.name for layer in one.layers] == [layer.name for layer in other.layers]
    for table in ("activation", "gradient", "weight"):
        for name, values in getattr(one, table).items():
            expected = getattr(other, table)[name]
            np.testing.assert_allclose(values, expected, rtol=2e-4, atol=1e-6, err_msg=f"{table} {name}")
    assert [fired.tolist() for fired in one.fired] == [fired.tolist() for fired in other.fired]
    assert one.seen.tolist() == other.seen.tolist()


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_both_count_what_is_not_finite(poison, monkeypatch):
    needs_kernel()
    one, other = (windows("float32", native, monkeypatch, poison=poison, steps=2) for native in (True, False))
    counts = one.activation["non_finite"]
    assert counts[0, 0] > 0
    np.testing.assert_array_equal(counts, other.activation["non_finite"])
    np.testing.assert_array_equal(one.gradient["non_finite"], other.gradient["non_finite"])


def test_without_a_compiler_everything_works_in_torch(monkeypatch):
    window = windows("float32", False, monkeypatch)
    assert np.isfinite(window.loss).all()
    assert (window.weight["norm"] > 0).all()
    assert np.isfinite(window.gradient["cosine"][1:]).all()


def test_big_tensors_keep_their_precision(monkeypatch):
    needs_kernel()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 4096))
    with torch.no_grad():
        network[0].bias.fill_(1000.0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    seen = []
    inputs = torch.randn(2048, 8)
    with watching.watch(network, optimizer, on_window=seen.append):
        optimizer.zero_grad()
        network(inputs).sum().backward()
        optimizer.step()
    wanted = network(inputs).double()
    (window,) = seen
    assert window.activation["mean"][0, 0] == pytest.approx(wanted.mean().item(), rel=1e-7)
    assert window.activation["deviation"][0, 0] == pytest.approx(wanted.std(correction=0).item(), rel=2e-2)
