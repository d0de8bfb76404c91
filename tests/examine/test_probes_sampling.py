"""Sampling at evaluation on purpose is no wrong mode; forgetting the mode is."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.core.estimate import Verdict
from equipoise.examine.probes.deterministic_evaluation import deterministic_evaluation
from equipoise.examine.probes.setup import Setup

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Sampler(nn.Module):
    """Draws its hidden values, as a variational autoencoder does."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.out = nn.Linear(6, 4), nn.Linear(4, 2)

    def forward(self, x):
        mean = self.mean(x)
        return self.out(mean + torch.randn_like(mean))


class AlwaysDropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(6, 16), nn.Linear(16, 2)

    def forward(self, x):
        return self.out(functional.dropout(self.first(x).relu(), 0.5))


class StaysOn(nn.Dropout):
    def train(self, mode=True):
        return super().train(True)


def dropping(kind=nn.Dropout):
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), kind(0.5), nn.Linear(16, 2))


def many_passes(network, inputs):
    network.train()
    return torch.stack([network(inputs).softmax(-1) for _ in range(8)]).mean(0)


def dropout_kept_on(network, inputs):
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    return network(inputs)


def forgotten(network, inputs):
    return network(inputs)


@pytest.mark.parametrize(
    ("make", "evaluate", "verdict"),
    [
        (Sampler, None, Verdict.PASS),
        (Sampler, forgotten, Verdict.PASS),
        (dropping, many_passes, Verdict.PASS),
        (dropping, dropout_kept_on, Verdict.PASS),
        (lambda: dropping(StaysOn), None, Verdict.PASS),
        (dropping, None, Verdict.PASS),
        (dropping, forgotten, Verdict.FAIL),
        (AlwaysDropping, None, Verdict.FAIL),
    ],
)
def test_only_a_forgotten_mode_is_blamed(make, evaluate, verdict):
    torch.manual_seed(0)
    training = Setup(
        make(), nn.CrossEntropyLoss(), lambda p: torch.optim.Adam(p), (X, Y), batch_size=16, evaluate=evaluate
    )
    found = deterministic_evaluation(training)
    assert found.verdict is verdict, found.claim
    assert ("train_eval_mode" in found.suggests) == (verdict is Verdict.FAIL)
