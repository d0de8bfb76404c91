"""Data before the first step: scales, balance, order, overlap, bond of labels and inputs, and what can be memorised."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from equipoise.core.estimate import Verdict
from equipoise.examine.probes.input_scale import input_scale
from equipoise.examine.probes.label_balance import label_balance
from equipoise.examine.probes.labels_fit_inputs import labels_fit_inputs
from equipoise.examine.probes.memorises_a_batch import memorises_a_batch
from equipoise.examine.probes.row_order import _runs, row_order
from equipoise.examine.probes.setup import Batch, Setup
from equipoise.examine.probes.target_scale import target_scale
from equipoise.examine.probes.validation_overlap import validation_overlap

RNG = np.random.default_rng(0)
X = torch.tensor(RNG.standard_normal((300, 6)), dtype=torch.float32)
Y = X[:, :3].argmax(1)
CE = nn.CrossEntropyLoss()


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch):
    """Let runs end by their number of steps, on however slow a machine."""
    monkeypatch.setattr("equipoise.examine.probes.memorises_a_batch._SHARE_S", math.inf)


def net(inputs: int = 6, outputs: int = 3, *front: nn.Module) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return nn.Sequential(*front, nn.Linear(inputs, 24), nn.ReLU(), nn.Linear(24, outputs))


def setup(x: Tensor, y: Tensor = Y, network: nn.Module | None = None, loss: object = CE, **more: object) -> Setup:
    network = network or net(x.shape[1])
    options = {"batch_size": 16, "epochs": 5} | more
    return Setup(network, loss, lambda p: torch.optim.Adam(p, lr=1e-2), (x, y[: len(x)]), **options)


def strongest(symptom: object) -> str:
    return max(symptom.suggests, key=symptom.suggests.get)


def with_column(values: object) -> Tensor:
    return torch.cat([X, torch.as_tensor(values, dtype=torch.float32).view(-1, 1)], 1)


@pytest.mark.parametrize(
    "x",
    [
        1500 * X.abs() + 60,
        with_column(2000 + RNG.integers(0, 20, 300)),
        with_column(RNG.lognormal(10, 1, 300)),
        1e-3 * X,
    ],
)
def test_inputs_on_no_common_scale(x):
    found = input_scale(setup(x))
    assert (found.verdict, strongest(found), found.where) == (Verdict.FAIL, "unscaled_input", ("inputs",))
    # What is normalised on the way in is no fault.
    assert input_scale(setup(x, network=net(x.shape[1], 3, nn.BatchNorm1d(x.shape[1])))).verdict == Verdict.PASS


@pytest.mark.parametrize(
    "x",
    [
        X,
        X @ torch.randn(6, 6, generator=torch.Generator().manual_seed(1)),
        with_column(RNG.random(300) < 0.02),
        with_column(np.zeros(300)),
        torch.tensor(load_digits().data[:300], dtype=torch.float32),
        torch.tensor(load_digits().data[:300] / 16, dtype=torch.float32),
        torch.tensor(RNG.random((300, 6)), dtype=torch.float32),
    ],
)
def test_inputs_on_a_sound_scale(x):
    found = input_scale(setup(x))
    assert found.verdict == Verdict.PASS, found.claim


def test_curvature_is_that_of_the_second_moments():
    found = input_scale(setup(100 * torch.tensor(RNG.standard_normal((4000, 3)), dtype=torch.float32), Y.repeat(14)))
    # Independent columns a hundred times as large have ten thousand times the largest eigenvalue.
    assert found.estimates["log10 curvature against standardised"].value == pytest.approx(4.0, abs=0.05)


def test_inputs_that_the_own_loop_standardises_are_sound():
    x = 1500 * X + 4000

    def begin() -> tuple[nn.Module, torch.optim.Optimizer]:
        network = net()
        return network, torch.optim.Adam(network.parameters())

    def step(network: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> Tensor:
        optimizer.zero_grad()
        loss = CE(network((batch[0] - 4000) / 1500), batch[1])
        loss.backward()
        optimizer.step()
        return loss.detach()

    assert input_scale(setup(x)).verdict == Verdict.FAIL
    assert input_scale(setup(x, step=step, begin=begin)).verdict == Verdict.PASS


def test_inputs_that_are_not_finite():
    x = X.clone()
    x[3, 2] = torch.nan
    assert input_scale(setup(x)).verdict == Verdict.FAIL


def test_targets_on_no_sound_scale():
    y = X[:, :1] * 3
    square = nn.MSELoss()
    for sick in (8000 * y + 20000, 80 * y, 1e-4 * y):
        found = target_scale(setup(X, sick, net(6, 1), square))
        assert (found.verdict, strongest(found), found.where) == (Verdict.FAIL, "unscaled_target", ("targets",))
    for sound in (y, y + 4, 0.2 * y):
        assert target_scale(setup(X, sound, net(6, 1), square)).verdict == Verdict.PASS
    assert target_scale(setup(X)).verdict == Verdict.SKIPPED


def test_balance_counts_as_evidence_and_not_as_an_alarm():
    rare = (torch.arange(300) % 25 == 0).long()
    found = label_balance(setup(X, rare))
    assert found.verdict == Verdict.UNSURE
    assert found.suggests["class_imbalance"] > 0.5
    assert found.estimates["share of the rarest class"].value == pytest.approx(12 / 300)
    made_up_for = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 24.0]))
    assert label_balance(setup(X, rare, net(6, 2), made_up_for)).verdict == Verdict.PASS
    assert label_balance(setup(X)).verdict == Verdict.PASS
    assert label_balance(setup(X, torch.zeros(300, dtype=torch.long))).verdict == Verdict.FAIL
    assert label_balance(setup(X, X[:, :1])).verdict == Verdict.SKIPPED


def test_rows_sorted_by_label():
    order = Y.argsort(stable=True)
    found = row_order(setup(X[order], Y[order], shuffle=False))
    assert (found.verdict, strongest(found), found.where) == (Verdict.FAIL, "no_shuffle", ("loop.order",))
    assert row_order(setup(X[order], Y[order])).verdict == Verdict.PASS
    assert row_order(setup(X, Y, shuffle=False)).verdict == Verdict.PASS
    assert row_order(setup(X[order], Y[order], shuffle=False, batch_size=300)).verdict == Verdict.SKIPPED
    values = X[:, :1].sort(0).values
    assert row_order(setup(X, values, net(6, 1), nn.MSELoss(), shuffle=False)).verdict == Verdict.FAIL


def test_the_moments_of_like_neighbours_are_those_over_all_orders():
    values = np.array([0, 0, 0, 1, 1, 2])
    alike = [sum(a == b for a, b in itertools.pairwise(order)) for order in itertools.permutations(values)]
    mean, spread = np.mean(alike), np.std(alike)
    assert _runs(values)[0] == pytest.approx((3 - mean) / spread)


def test_validation_rows_in_the_training_data():
    held = torch.tensor(RNG.standard_normal((100, 6)), dtype=torch.float32)
    leaking = torch.cat([held[:70], X[:30]])
    found = validation_overlap(setup(X, validation=(leaking, Y[:100])))
    assert (found.verdict, strongest(found), found.where) == (Verdict.FAIL, "data_leak", ("validation",))
    assert found.estimates["overlap"].value == pytest.approx(0.3)
    assert validation_overlap(setup(X, validation=(held, Y[:100]))).verdict == Verdict.PASS
    # Rows of few possible kinds are found again by chance, in the training data just as often.
    few = torch.tensor(RNG.integers(0, 2, (400, 6)), dtype=torch.float32)
    assert validation_overlap(setup(few[:300], validation=(few[300:], Y[:100]))).verdict == Verdict.PASS
    assert validation_overlap(setup(X)).verdict == Verdict.SKIPPED


def quantities(n: int, seed: int) -> Batch:
    x = torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))
    return x, x[:, :1] - 2 * x[:, 1:2].relu()


def test_labels_that_do_not_belong_to_their_inputs():
    train, held = quantities(240, 0), quantities(120, 1)
    torn = (train[0], train[1].roll(7, 0))
    options = {"network": net(5, 1), "loss": nn.MSELoss()}
    found = labels_fit_inputs(setup(*torn, **options, validation=held))
    assert (found.verdict, strongest(found), found.where) == (Verdict.FAIL, "wrong_labels", ("targets",))
    assert labels_fit_inputs(setup(*train, **options, validation=held)).verdict == Verdict.PASS
    # Where nothing else tells that there is something to learn, no alarm is raised.
    assert labels_fit_inputs(setup(*torn, **options)).verdict == Verdict.UNSURE
    noise = (held[0], held[1].roll(7, 0))
    assert labels_fit_inputs(setup(*torn, **options, validation=noise)).verdict == Verdict.UNSURE


def test_a_sound_network_learns_a_batch_by_heart():
    found = memorises_a_batch(setup(X))
    assert found.verdict == Verdict.PASS, found.claim
    assert found.estimates["learned with sound recipe"].value > 0.8
    assert found.estimates["learned with inputs of zeros"].value < 0.2


class Deaf(nn.Module):
    """Its outputs do not depend on its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = net()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(0 * x)


def test_a_network_that_cannot_learn_a_batch_by_heart():
    deaf = memorises_a_batch(setup(X, network=Deaf()))
    assert deaf.verdict == Verdict.FAIL
    constant = nn.Sequential(net(6, 1), nn.Softmax(-1))
    stuck = memorises_a_batch(setup(X, (Y > 0).float().view(-1, 1), constant, nn.BCELoss()))
    assert stuck.verdict == Verdict.FAIL
    assert "does not fall" in stuck.claim
    slow = setup(X)
    lame = Setup(slow.network, CE, lambda p: torch.optim.SGD(p, lr=1e-7), slow.train, batch_size=16, epochs=5)
    found = memorises_a_batch(lame)
    assert found.verdict == Verdict.UNSURE
    assert "recipe" in found.claim
