"""Every check of the re-implemented TheDeepChecker fires on a planted training and not on a healthy one."""

import dataclasses
import importlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_trainings import Detached, classes, dense, inputs, random_classes, said, sgd, subject
from torch import nn

ROOT = Path(__file__).parents[2]
MSE, BCE, LOGITS = "mean_squared_error", "binary_crossentropy", "cross_entropy_with_logits"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def before():
    return importlib.import_module("benchmarks.diagnosis_rules.thedeepchecker")


@pytest.fixture
def during():
    return importlib.import_module("benchmarks.diagnosis_rules.thedeepchecker_training")


def scaled(given):
    """Return inputs whose every column runs from -1 to 1."""
    low, high = given.min(0).values, given.max(0).values
    return 2 * (given - low) / (high - low) - 1


def table():
    given = scaled(inputs())
    return (given, classes(given))


def quantities(times=1.0, shift=0.0):
    given = scaled(inputs())
    target = given[:, :1] * 2 + given[:, 1:2]
    return (given, (target - target.mean()) / target.std(correction=0) * times + shift)


def healthy(**more):
    return subject(**({"train": table(), "rate": 0.005} | more))


def constant(weight):
    network = dense(nn.Softmax(-1))
    nn.init.constant_(network[0].weight, weight)
    return network


def biased():
    network = dense(nn.Softmax(-1))
    nn.init.constant_(network[0].bias, 0.5)
    return network


def rare():
    given = scaled(inputs())
    return (given, (torch.arange(len(given)) % 32 == 0).long())


def summed(put, targets):
    return -put.clamp(1e-7, 1).log().gather(1, targets.view(-1, 1)).sum()


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.softmax = dense(), nn.Softmax(0)

    def forward(self, given):
        return self.softmax(self.body(given))


class Blind(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = dense()

    def forward(self, given):
        return self.body(given * 0)


CHECKED_BEFORE = {
    "features constant": ("data", lambda: healthy(train=(scaled(inputs()) * torch.tensor([1, 1, 1, 0]), table()[1]))),
    "features unnormalised": ("data", lambda: healthy(train=(inputs() * 9, table()[1]))),
    "targets unnormalised": ("data", lambda: healthy(network=dense(outputs=1), loss=MSE, train=quantities(9, 3))),
    "unbalanced labels": ("data", lambda: healthy(train=rare())),
    "poor initial weights": ("initial_weights", lambda: healthy(network=constant(0.3))),
    "poor initial bias": ("initial_weights", lambda: healthy(network=biased())),
    "loss is not averaged": ("initial_loss", lambda: healthy(loss_function=summed)),
    "poor initial loss": ("initial_loss", lambda: healthy(loss_function=lambda a, b: summed(a, b) * 0 + 5.0)),
    "wrong gradient": ("numeric_gradients", lambda: healthy(network=Detached(), loss=LOGITS)),
    "samples depend on each other": ("independence", lambda: healthy(network=Mixed())),
    "cannot fit one batch": (
        "one_batch", lambda: healthy(optimizer=sgd(0.0), train=(scaled(inputs()), random_classes()))
    ),
    "no dependence on data": (
        "one_batch", lambda: healthy(network=Blind(), loss=LOGITS, train=(scaled(inputs()), random_classes()))
    ),
    "zero loss": ("one_batch", lambda: healthy(optimizer=sgd(1.0), loss_function=lambda a, b: summed(a, b) * 1e-12)),
    "loss not finite": ("one_batch", lambda: healthy(network=dense(), loss=LOGITS, optimizer=sgd(1e38))),
}  # fmt: skip


@pytest.mark.parametrize("symptom", CHECKED_BEFORE)
def test_before_training_a_check_fires_and_not_on_a_healthy_training(before, symptom, monkeypatch):
    monkeypatch.setattr(before, "ONE_BATCH_STEPS", 200)
    name, planted = CHECKED_BEFORE[symptom]
    check = getattr(before, name)
    assert symptom in said(check(planted()))
    assert check(healthy()) == []


def test_steady_targets_want_their_mean_as_the_last_bias(before):
    steady = healthy(network=dense(outputs=1), loss=MSE, train=quantities(1e-3, 50.0))
    assert "poor initial bias" in said(before.initial_weights(steady))
    assert before.initial_weights(healthy(network=dense(outputs=1), loss=MSE, train=quantities())) == []


def test_balance_is_relative_perplexity(before):
    assert before.balance(torch.arange(90) % 3) == pytest.approx(1.0)
    assert before.balance(torch.eye(4)) == pytest.approx(1.0)
    shares = np.array([0.9, 0.1])
    perplexity = math.exp(-(shares * np.log(shares)).sum())
    assert before.balance(torch.tensor([0] * 90 + [1] * 10)) == pytest.approx(perplexity - 1)


def test_a_sample_has_the_same_number_of_every_class(before):
    inputs_, targets = before.sample(healthy(train=rare()), 16)
    assert len(inputs_) == 16
    assert targets.bincount().tolist() == [8, 8]


# ---------------------------------------------------------------- while one batch is learned
def saturated():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 2), nn.Softmax(-1))
    nn.init.normal_(network[0].weight, 0, 50.0)
    return network


def dead():
    network = dense(nn.Softmax(-1))
    nn.init.constant_(network[0].bias, -50.0)
    return network


def tiny():
    network = dense(nn.Softmax(-1))
    with torch.no_grad():
        network[0].weight *= 1e-9
    return network


def doubling(network, optimizer, batch):
    """Take a step that doubles every weight."""
    with torch.no_grad():
        loss = nn.functional.cross_entropy(network(batch[0]), batch[1])
        for one in network.parameters():
            one *= 2
    return loss


def own_loop(network, step):
    given = healthy(network=network, loss=LOGITS, train=(scaled(inputs()), random_classes()))

    def begin():
        return network, torch.optim.SGD(network.parameters(), lr=0.1)

    return dataclasses.replace(given, begin=begin, step=step)


def restless(network, optimizer, batch):
    """Return a loss that goes up and down and has nothing to do with the accuracy."""
    restless.count = getattr(restless, "count", 0) + 1
    with torch.no_grad():
        network[2].bias += 0.05 * torch.randn(2, generator=torch.Generator().manual_seed(restless.count))
    return 2.0 + (restless.count // 10) % 2


def unlearnable(**more):
    return healthy(**({"train": (scaled(inputs()), random_classes()), "optimizer": sgd(0.01)} | more))


WHILE_OVERFITTING = {
    "activation not finite": lambda: unlearnable(network=constant(float("nan"))),
    "weight not finite": lambda: unlearnable(network=dense(), loss=LOGITS, optimizer=sgd(1e38)),
    "loss not finite": lambda: unlearnable(network=dense(), loss=LOGITS, optimizer=sgd(1e38)),
    "output constant": lambda: unlearnable(network=Blind(), loss=LOGITS, optimizer=sgd(1e-4)),
    "output invalid": lambda: unlearnable(network=dense(nn.ReLU())),
    "output lacks magnitude": lambda: unlearnable(
        network=dense(nn.Sigmoid(), outputs=1), loss=MSE, train=quantities(9)
    ),
    "output lacks negatives": lambda: unlearnable(network=dense(nn.ReLU(), outputs=1), loss=MSE, train=quantities()),
    "dead layer": lambda: unlearnable(network=dead()),
    "saturated layer": lambda: unlearnable(network=saturated()),
    "unstable activation": lambda: unlearnable(network=tiny()),
    "negative weights": lambda: unlearnable(network=constant(-0.3), optimizer=sgd(1e-5)),
    "dead weights": lambda: unlearnable(network=tiny(), optimizer=sgd(1e-6)),
    "diverging weights": lambda: own_loop(dense(), doubling),
    "vanishing gradient": lambda: unlearnable(network=dead()),
    "exploding gradient": lambda: unlearnable(loss_function=lambda a, b: 1e9 * summed(a, b), optimizer=sgd(1e-12)),
    "untrained weights": lambda: unlearnable(optimizer=sgd(0.0)),
    "updates fast": lambda: unlearnable(optimizer=sgd(30.0), network=dense(), loss=LOGITS),
    "updates slow": lambda: unlearnable(optimizer=sgd(1e-5)),
    "stagnated loss": lambda: unlearnable(optimizer=sgd(1e-5)),
    "diverging loss": lambda: own_loop(dense(), doubling),
    "fluctuating loss": lambda: own_loop(dense(), restless),
    "loss unlike metric": lambda: own_loop(dense(), restless),
    "overwhelming regularisation": lambda: unlearnable(
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1e-3, weight_decay=100.0)
    ),
}


@pytest.mark.parametrize("symptom", WHILE_OVERFITTING)
def test_while_one_batch_is_learned_a_check_fires(during, symptom, monkeypatch):
    monkeypatch.setattr(during, "STEPS", 120)
    assert symptom in said(during.while_overfitting(WHILE_OVERFITTING[symptom]()))


def test_a_healthy_training_learns_one_batch_without_a_warning(during):
    assert during.while_overfitting(healthy()) == []


def test_smoothness_counts_turns(during):
    assert during.smoothness([5.0, 4.0, 3.0, 2.0]) == 1.0
    assert during.smoothness([1.0, 2.0, 1.0, 2.0, 1.0]) == pytest.approx(2 / 5)


def test_saturation_is_the_mean_distance_from_the_middle(during):
    values = np.array([[0.0, 0.5], [1.0, 0.5], [1.0, 0.5]])
    assert during.saturation(values) == pytest.approx([1.0, 0.0])


# ---------------------------------------------------------------- after training
def with_dropout(share):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Dropout(share), nn.Linear(32, 2))


def test_modes_that_do_not_agree(during):
    fine = healthy(network=with_dropout(0.1), loss=LOGITS, rate=0.02)
    assert during.after_training(fine) == []
    wrong = healthy(network=with_dropout(0.98), loss=LOGITS, rate=0.02)
    assert said(during.after_training(wrong)) == {"modes differ"}


def test_labels_that_cannot_be_learned(during):
    assert during.after_training(healthy(rate=0.02, epochs=8)) == []
    shuffled = healthy(train=(scaled(inputs()), random_classes()), optimizer=sgd(0.01), epochs=8)
    assert said(during.after_training(shuffled)) == {"corrupted labels"}


def test_alignment_is_one_of_equal_features_and_none_of_independent_ones(during):
    draw = torch.Generator().manual_seed(0)
    one = torch.randn(200, 5, generator=draw)
    turned, _ = torch.linalg.qr(torch.randn(5, 5, generator=draw))
    assert during.alignment(one, 3 * one @ turned) == pytest.approx(1.0)
    assert abs(during.alignment(one, torch.randn(200, 5, generator=draw))) < 0.05


def test_all_checks_together_name_the_fault(before, monkeypatch):
    monkeypatch.setattr(before, "ONE_BATCH_STEPS", 50)
    answer = before.judge(healthy(network=Mixed()))
    assert answer["healthy"] is False
    assert "batch_mixing" in [one["fault"] for one in answer["causes"]]
