"""Treatments of overfitting, underfitting, calibration and unsteady training cure a planted sickness."""

import numpy as np
import pytest
from planted import accuracy, clouds, gains, likelihood, rings, sick

OVERFITTED = sick(epochs=100, learning_rate=1e-2)
NOISY = sick(epochs=20, optimizer="sgd", learning_rate=0.5, batch_size=4)


def dense(*hidden, activation="relu"):
    return {"family": "dense", "hidden": list(hidden), "activation": activation}


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("l1", 0.2),
        ("l2", 0.1),
        ("weight-decay", 0.08),
        ("early-stopping", 0.1),
        ("mixup", 0.1),
        ("label-smoothing", 0.2),
        ("temperature-scaling", 0.2),
        ("bagged-ensemble", 0.15),
        ("deep-ensemble", 0.03),
    ],
)
def test_what_keeps_a_network_from_learning_forty_rows_by_heart(name, least):
    assert min(gains(name, OVERFITTED, lambda seed: clouds(seed, apart=0.8), likelihood)) > least


def test_l1_ignores_columns_that_say_nothing():
    assert min(gains("l1", OVERFITTED, lambda seed: clouds(seed, apart=0.8), accuracy)) > 0.02


def test_dropout_against_wrong_labels():
    plan = sick(dense(256, 256), epochs=100)
    found = gains("dropout", plan, lambda seed: clouds(seed, n=100, features=10, apart=0.8, flipped=0.2), likelihood)
    assert min(found) > 0.03


def test_a_smaller_network_overfits_less():
    plan = sick(dense(256, 256), epochs=60, learning_rate=3e-3)
    assert min(gains("capacity-down", plan, lambda seed: clouds(seed, n=80, features=20, apart=0.8), likelihood)) > 0.03


def test_a_larger_network_goes_around_a_circle():
    found = gains("capacity-up", sick(dense(2), epochs=100, learning_rate=2e-2), rings)
    assert np.mean(found) > 0.1
    assert min(found) > -0.02


def test_a_longer_training_gets_there():
    assert min(gains("more-epochs", sick(epochs=10), rings)) > 0.1


@pytest.mark.parametrize("name", ["tail-averaging", "exponential-averaging"])
def test_averages_of_weights_calm_a_large_step(name):
    assert min(gains(name, NOISY, lambda seed: clouds(seed, n=200, features=10, apart=0.6), likelihood)) > 0.08


def test_a_stack_does_not_listen_to_a_member_that_cannot_do_it():
    assert min(gains("stacking", sick(dense(16, activation="linear"), epochs=30, learning_rate=1e-2), rings)) > 0.4
