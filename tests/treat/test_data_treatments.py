"""Treatments of the data cure a planted sickness."""

import numpy as np
import pytest
import torch
from planted import accuracy, classes, clouds, gains, parts, recall, sick

from equipoise.core.signature import Task
from equipoise.fit.fit import fit
from equipoise.fit.training_part import prepare_training_part
from equipoise.networks.archive import save_network
from equipoise.treat.catalogue import treatment_named

OVERFITTED = sick(epochs=100, learning_rate=1e-2)


def rare(seed, features=4, apart=0.6):
    return clouds(seed, n=300, features=features, apart=apart, shares=(0.95, 0.05))


def uneven(seed, targets=None):
    """Columns of very different size, the small one with the answer."""
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(700, 3)) * (1000.0, 0.01, 300.0) + (5000.0, 0.0, 0.0)
    if targets is None:
        return parts((inputs[:200], answers(inputs)[:200]), (inputs[200:], answers(inputs)[200:]), classes(2))
    values = (1e4 + 300 * inputs[:, 1:2] / 0.01).astype(np.float32)
    return parts((inputs[:200], values[:200]), (inputs[200:], values[200:]), Task(kind="regression", targets=("y",)))


def answers(inputs):
    return (inputs[:, 1] > 0).astype(np.int64)


def repeated(seed):
    """One row with a wrong label that was copied two hundred times."""
    data = clouds(seed, n=60, features=2, apart=1.5)
    inputs, labels = data.train.inputs.numpy(), data.train.targets.numpy()
    middle = np.array([[1.5, 1.5]], np.float32)
    train = np.concatenate([inputs, middle.repeat(200, 0)]), np.concatenate([labels, np.zeros(200, np.int64)])
    held = [
        np.concatenate([getattr(part, name).numpy() for part in (data.validation, data.test)])
        for name in ("inputs", "targets")
    ]
    return parts(train, tuple(held), classes(2))


def narrow(seed):
    """Two columns that say nearly the same; their small difference is the answer."""
    draw = np.random.default_rng(seed)
    large, small = draw.normal(size=(2, 1200))
    inputs, labels = np.stack([10 * large + small, 10 * large - small], 1), (small > 0).astype(np.int64)
    return parts((inputs[:200], labels[:200]), (inputs[200:], labels[200:]), classes(2))


def test_standardised_inputs_let_a_small_column_be_heard():
    plan = sick({"family": "dense", "hidden": [16], "activation": "tanh", "standardise": False}, learning_rate=1e-2)
    assert min(gains("standardise-inputs", plan, uneven)) > 0.2


def test_standardised_targets_are_reached():
    plan = sick({"family": "dense", "hidden": [16], "standardise_targets": False}, learning_rate=1e-2)
    assert min(gains("standardise-targets", plan, lambda seed: uneven(seed, "numbers"))) > 1


@pytest.mark.parametrize("name", ["class-weights", "class-sampling"])
def test_a_rare_class_is_found(name):
    assert min(gains(name, sick(), rare, recall)) > 0.4


def test_variations_of_a_rare_class_are_found():
    assert min(gains("synthetic-autoencoder", sick(epochs=20), lambda seed: rare(seed, 2, 0.9), recall)) > 0.15


def test_copies_of_a_wrong_row_no_longer_outvote_the_others():
    assert min(gains("remove-duplicates", sick(), repeated)) > 0.1


def test_rows_with_a_wrong_label_are_left_out():
    plan = sick({"family": "dense", "hidden": [128]}, epochs=150, learning_rate=1e-2)
    assert (
        min(gains("label-pruning", plan, lambda seed: clouds(seed, n=300, features=4, apart=1.2, flipped=0.3))) > 0.02
    )


def test_whitened_components_make_a_small_difference_as_large_as_others():
    plan = sick(
        {"family": "dense", "hidden": []}, training={"components": 2}, optimizer="sgd", learning_rate=0.2, epochs=10
    )
    assert min(gains("principal-components", plan, narrow)) > 0.05


def test_discriminants_are_few_enough_for_few_rows():
    plan = sick(epochs=30, learning_rate=1e-2)
    assert min(gains("discriminant-components", plan, lambda seed: clouds(seed, n=60, apart=0.6, features=40))) > 0.03


def test_selected_features_are_those_that_say_something():
    assert min(gains("feature-selection", OVERFITTED, lambda seed: clouds(seed, apart=0.8), accuracy)) > 0.02


def crowd(n: int, seed: int):
    """Simulate what `clouds` measures."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(2, size=n)
    inputs = draw.normal(size=(n, 30))
    inputs[:, :2] += 0.8 * (2 * labels[:, None] - 1)
    return inputs, [f"c{label}" for label in labels]


def test_simulated_samples_fill_a_shortage(monkeypatch):
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])
    training = {"simulator": "test_data_treatments:crowd", "synthetic_share": 10.0}
    plan = sick(training=training, epochs=40, learning_rate=1e-2)
    assert min(gains("synthetic-simulation", plan, lambda seed: clouds(seed, apart=0.8))) > 0.05


def test_a_generator_makes_rows_like_those_it_saw():
    data = clouds(0, n=300, features=2, apart=2.0)
    plan = treatment_named("synthetic-gan").apply(sick(epochs=20, learning_rate=1e-2))
    done = prepare_training_part(plan, 0, data)
    assert len(done.train) == 450
    made, labels = done.train.inputs[300:], done.train.targets[300:]
    for label in (0, 1):
        centre = made[labels == label].mean(0)
        assert torch.allclose(centre, torch.full((2,), 4.0 * label - 2), atol=0.8)
    assert accuracy(fit(sick(epochs=20, learning_rate=1e-2), 0, splits=only(done, 300))) > 0.95


def only(data, first):
    """Return the data with the training rows from a position on."""
    train = data.train.inputs[first:].numpy(), data.train.targets[first:].numpy()
    held = [
        torch.cat([getattr(p, name) for p in (data.validation, data.test)]).numpy() for name in ("inputs", "targets")
    ]
    return parts(train, tuple(held), classes(2))


def test_what_a_related_problem_taught_helps_with_few_rows(tmp_path):
    """The same hidden columns matter, for another question."""
    plan = sick({"family": "dense", "hidden": [32]}, epochs=60, learning_rate=3e-3)

    def drawn(seed, n, other):
        draw = np.random.default_rng(seed)
        inputs = draw.normal(size=(n + 600, 30))
        hidden = inputs[:, 0] * inputs[:, 1]
        labels = ((hidden + (inputs[:, 0] if other else 0)) > 0).astype(np.int64)
        return parts((inputs[:n], labels[:n]), (inputs[n:], labels[n:]), classes(2))

    related = fit(plan, 0, splits=drawn(99, 2000, other=True))
    path = tmp_path / "related.safetensors"
    save_network(related.network, plan.network, related.splits.preprocessing, path)
    named = plan.replace(network__related=str(path))
    assert min(gains("transfer", named, lambda seed: drawn(seed, 60, other=False))) > 0.05
