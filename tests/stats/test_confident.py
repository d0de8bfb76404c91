"""Confident learning against its definition, planted noise and a channel whose joint is known."""

import numpy as np
import pytest

from equipoise.stats.confident import (
    class_thresholds,
    confident_joint,
    label_joint,
    noise_estimate,
    noise_rate,
    suspects,
)

CHANNEL = np.array([[0.9, 0.1, 0.0], [0.05, 0.9, 0.05], [0.0, 0.2, 0.8]])
"""Probability of the given label (column) for each true class (row)."""


def noisy(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true classes, given labels, and the exact probabilities of the given label for each sample."""
    rng = np.random.default_rng(seed)
    true = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    given = np.array([rng.choice(3, p=CHANNEL[one]) for one in true])
    return true, given, CHANNEL[true]


def by_definition(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the confident joint, sample by sample, as section 3.1 of the paper writes it."""
    classes = range(probabilities.shape[1])
    thresholds = [
        np.mean([p[k] for p, label in zip(probabilities, labels, strict=True) if label == k]) for k in classes
    ]
    counts = np.zeros((3, 3), dtype=int)
    for p, label in zip(probabilities, labels, strict=True):
        sure = [k for k in classes if p[k] >= thresholds[k]]
        if sure:
            counts[label, max(sure, key=lambda k: p[k])] += 1
    return counts


def test_the_confident_joint_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.6, 0.6, 0.6], 200)
    labels = rng.integers(0, 3, 200)
    assert (confident_joint(labels, probabilities) == by_definition(labels, probabilities)).all()


def test_with_ideal_probabilities_the_joint_is_that_of_the_channel() -> None:
    true, given, probabilities = noisy(4000, 1)
    want = np.zeros((3, 3))
    np.add.at(want, (given, true), 1 / len(true))
    assert np.abs(label_joint(given, probabilities) - want).max() < 1e-9  # exact, as theorem 1 says
    assert noise_rate(given, probabilities) == pytest.approx((given != true).mean())


def test_the_interval_holds_the_planted_share_of_wrong_labels() -> None:
    held = 0
    for seed in range(20):
        _, given, probabilities = noisy(400, seed)
        estimate = noise_estimate(given, probabilities, repeats=100)
        expected = 1 - (np.array([0.5, 0.3, 0.2]) * np.diag(CHANNEL)).sum()
        held += estimate.low <= expected <= estimate.high
    assert held >= 17


def test_suspects_are_the_flipped_labels_worst_first() -> None:
    probabilities = np.full((60, 3), 0.02)
    true = np.arange(60) % 3
    probabilities[np.arange(60), true] = np.linspace(0.8, 0.96, 60)
    given = true.copy()
    given[[5, 40, 50]] = (given[[5, 40, 50]] + 1) % 3
    found = suspects(given, probabilities)
    assert found.tolist()[:2] == [50, 40]
    assert set(found) <= {5, 40, 50}


def test_clean_labels_have_no_suspects_and_an_upper_end() -> None:
    probabilities = np.eye(3)[np.arange(300) % 3] * 0.9 + 0.1 / 3
    estimate = noise_estimate(np.arange(300) % 3, probabilities, repeats=100)
    assert (estimate.value, estimate.low, estimate.high) == (0.0, 0.0, 0.01)


def test_a_class_without_labels_attracts_nobody() -> None:
    probabilities = np.tile([0.2, 0.2, 0.6], (10, 1))
    labels = np.arange(10) % 2
    assert class_thresholds(labels, probabilities)[2] == np.inf
    assert (label_joint(labels, probabilities)[:, 2] == 0).all()


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one class index a sample"):
        noise_rate(np.array([0, 3]), np.ones((2, 3)) / 3)
