"""Whole diagnoses of small trainings: sick ones by name and place, healthy ones left alone."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import equipoise
from equipoise.core.faults import FAULTS
from equipoise.examine.diagnosis.diagnose import diagnose


def blobs(n=500, features=6, classes=3, seed=0):
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(2 * classes, features)) * 1.5
    which = generator.integers(0, 2 * classes, n)
    rows = centres[which] + 0.7 * generator.normal(size=(n, features))
    inputs, labels = torch.as_tensor(rows).float(), torch.as_tensor(which % classes)
    cut = int(0.75 * n)
    return (inputs[:cut], labels[:cut]), (inputs[cut:], labels[cut:])


def curve(n=500, seed=0, scale=1.0):
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(n, 4))
    wanted = rows @ [1.0, -2.0, 0.5, 0.0] + np.sin(2 * rows[:, 0]) + 0.05 * generator.normal(size=n)
    inputs, targets = torch.as_tensor(rows).float(), torch.as_tensor(scale * wanted).float().reshape(-1, 1)
    cut = int(0.75 * n)
    return (inputs[:cut], targets[:cut]), (inputs[cut:], targets[cut:])


def classifier(seed=0, end=None, width=32, features=6):
    torch.manual_seed(seed)
    layers = [nn.Linear(features, width), nn.ReLU(), nn.Linear(width, 3), *([end] if end else [])]
    return nn.Sequential(*layers)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=5e-3)


def test_a_healthy_classifier_is_left_alone():
    train, validation = blobs()
    found = diagnose(
        classifier(), nn.CrossEntropyLoss(), adam, train=train, validation=validation, epochs=12, budget_s=20
    )
    assert found.healthy, str(found)
    assert found.causes == ()
    assert found.score["own loop"] > 0.8


def test_a_healthy_regressor_is_left_alone():
    train, validation = curve()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))
    found = diagnose(network, nn.MSELoss(), adam, train=train, validation=validation, epochs=30, budget_s=20)
    assert found.healthy, str(found)


def sick_cases():
    train, validation = blobs()
    wide = (train[0] * torch.tensor([1.0, 4000.0, 1.0, 90.0, 1.0, 0.01]), train[1])
    wide_held = (validation[0] * torch.tensor([1.0, 4000.0, 1.0, 90.0, 1.0, 0.01]), validation[1])
    order = train[1].argsort(stable=True)
    far, far_held = curve(scale=300.0)
    torch.manual_seed(0)
    regressor = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    squashed = nn.Sequential(copy.deepcopy(regressor), nn.Sigmoid())

    def gradient(rate):
        return lambda parameters: torch.optim.SGD(parameters, lr=rate)

    entropy = nn.CrossEntropyLoss()
    common = {"train": train, "validation": validation, "epochs": 12}
    return {
        "lr_too_low": (classifier(), entropy, lambda p: torch.optim.Adam(p, lr=1e-6), common, "optimizer.lr"),
        "lr_too_high": (classifier(), entropy, gradient(300.0), common, "optimizer.lr"),
        "double_softmax": (classifier(end=nn.Softmax(-1)), entropy, gradient(0.02), common, "layer:3"),
        "unscaled_input": (
            classifier(),
            entropy,
            adam,
            {"train": wide, "validation": wide_held, "epochs": 12},
            "inputs",
        ),
        "wrong_output_activation": (
            squashed,
            nn.MSELoss(),
            adam,
            {"train": far, "validation": far_held, "epochs": 30},
            "layer:1",
        ),
        "no_shuffle": (
            classifier(),
            entropy,
            gradient(0.5),
            {"train": (train[0][order], train[1][order]), "validation": validation, "epochs": 8, "shuffle": False},
            "loop.order",
        ),
        "gradient_ascent": (
            classifier(),
            lambda out, y: functional.log_softmax(out, -1).gather(1, y[:, None]).mean(),
            adam,
            common,
            "loss",
        ),
    }


@pytest.mark.parametrize("fault", list(sick_cases()))
def test_a_sick_training_is_named_and_placed(fault):
    network, loss, optimizer, data, where = sick_cases()[fault]
    found = diagnose(network, loss, optimizer, budget_s=20, **data)
    assert not found.healthy
    assert fault in [cause.fault for cause in found.causes[:2]], str(found)
    named = next(cause for cause in found.causes if cause.fault == fault)
    assert named.where == where
    assert named.treatment == FAULTS[fault].cure
    assert named.evidence
    assert named.confidence > 0.5


def test_a_bug_of_the_own_loop_is_found_through_begin_and_step():
    train, validation = blobs()

    def begin():
        network = classifier()
        return network, torch.optim.SGD(network.parameters(), lr=0.1)

    def step(network, optimizer, batch):
        loss = functional.cross_entropy(network(batch[0]), batch[1])
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()
        return loss.detach()

    network, optimizer = begin()
    found = diagnose(
        network,
        nn.CrossEntropyLoss(),
        optimizer,
        train=train,
        validation=validation,
        epochs=6,
        step=step,
        begin=begin,
        budget_s=20,
    )
    assert found.causes[0].fault == "parameters_not_updated", str(found)
    assert found.causes[0].where.startswith("loop.")


def test_without_begin_what_must_restart_the_loop_is_skipped_with_its_reason():
    train, validation = blobs(200)
    network = classifier()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    def step(network, optimizer, batch):
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    found = diagnose(
        network, nn.CrossEntropyLoss(), optimizer, train=train, validation=validation, step=step, epochs=2, budget_s=10
    )
    assert "begin" in found.skipped["counterfactual runs"]


def test_everything_is_left_as_it_was():
    train, validation = blobs(200)
    network = classifier().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-6)
    functional.cross_entropy(network(train[0][:8]), train[1][:8]).backward()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    gradients = {name: one.grad.clone() for name, one in network.named_parameters()}
    inputs = train[0].clone()
    states = (torch.get_rng_state(), np.random.get_state()[1].copy())
    diagnose(network, nn.CrossEntropyLoss(), optimizer, train=train, validation=validation, epochs=2, budget_s=10)
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())
    assert all(torch.equal(gradients[name], one.grad) for name, one in network.named_parameters())
    assert network.training
    assert not optimizer.state
    assert torch.equal(inputs, train[0])
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()
    assert not network._forward_hooks


def test_the_same_training_gets_the_same_diagnosis():
    train, validation = blobs(200)
    made = [
        diagnose(
            classifier(),
            nn.CrossEntropyLoss(),
            lambda p: torch.optim.Adam(p, lr=1e-6),
            train=train,
            validation=validation,
            epochs=4,
            budget_s=60,
        )
        for _ in range(2)
    ]
    assert made[0].replace(seconds=0.0) == made[1].replace(seconds=0.0)


def test_a_training_that_cannot_run_is_diagnosed_from_its_error():
    train, validation = blobs(100)
    network = classifier(features=5)
    found = diagnose(network, nn.CrossEntropyLoss(), adam, train=train, validation=validation, budget_s=10)
    assert not found.healthy
    assert "counterfactual runs" in found.skipped


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": (torch.zeros(3, 6), torch.zeros(2))}, "3 inputs and 2 targets"),
        ({"train": [1, 2]}, "train=list"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"epochs": 0}, "epochs=0"),
    ],
)
def test_bad_input_is_refused(change, message):
    given = {"train": blobs(50)[0], **change}
    with pytest.raises(ValueError, match=message):
        diagnose(classifier(), nn.CrossEntropyLoss(), adam, **given)


def test_it_is_public_and_reads_well():
    assert equipoise.diagnose is diagnose
    train, validation = blobs(200)
    network = classifier()
    found = equipoise.diagnose(
        network,
        nn.CrossEntropyLoss(),
        lambda p: torch.optim.Adam(p, lr=1e-6),
        train=train,
        validation=validation,
        epochs=4,
        budget_s=10,
    )
    assert str(found).startswith("1. ")
    assert "cure: " in str(found)
