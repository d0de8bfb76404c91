"""Confident learning: which labels are probably wrong, and how many (Northcutt, Jiang and Chuang, JAIR 2021).

Labels (n,) are class indices as given; probabilities (n, classes) must come from a network that has not seen the sample
(cross-validation). What is estimated is the joint distribution of given and true labels, under the assumption that the
chance of a wrong label depends on the classes alone.
"""

import numpy as np

from equipoise.core.estimate import Estimate
from equipoise.stats.intervals import bootstrap


def class_thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the mean probability of each class among the samples that carry its label (classes,), section 3.1.

    A class that no sample carries has the threshold infinity: nothing is counted as belonging to it.

    Raises:
        ValueError: Labels and probabilities do not belong together.
    """
    _check(labels, probabilities)
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    own = np.bincount(labels, weights=probabilities[np.arange(len(labels)), labels], minlength=classes)
    thresholds: np.ndarray = np.where(counts > 0, own / np.maximum(counts, 1), np.inf)
    return thresholds


def confident_classes(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the class that each sample surely belongs to (n,), or -1 where none reaches its threshold (eq. 1)."""
    sure = probabilities >= class_thresholds(labels, probabilities)
    likeliest = np.where(sure, probabilities, -1.0).argmax(1)
    found: np.ndarray = np.where(sure.any(1), likeliest, -1)
    return found


def confident_joint(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return how many samples carry label i and surely belong to class j, at [i, j] (classes, classes)."""
    found, classes = confident_classes(labels, probabilities), probabilities.shape[1]
    kept = found >= 0
    counts = np.bincount(labels[kept] * classes + found[kept], minlength=classes * classes)
    return counts.reshape(classes, classes)


def label_joint(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the joint distribution of given (rows) and true labels (columns), summing to 1 (eq. 3).

    Each row of the confident joint is scaled to the share of its label; a row without a sure sample counts as right.
    """
    counts = confident_joint(labels, probabilities).astype(np.float64)
    empty = counts.sum(1) == 0
    counts[empty, empty] = 1.0
    shares = np.bincount(labels, minlength=len(counts)) / len(labels)
    joint: np.ndarray = counts / counts.sum(1, keepdims=True) * shares[:, None]
    return joint


def noise_rate(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the estimated share of labels that are wrong."""
    return float(max(0.0, 1 - np.trace(label_joint(labels, probabilities))))


def noise_estimate(labels: np.ndarray, probabilities: np.ndarray, *, repeats: int = 300) -> Estimate:
    """Return `noise_rate` with a bootstrap interval over samples, the networks taken as they are."""
    rate = bootstrap(noise_rate, labels, probabilities, repeats=repeats)
    # No resample of labels without a suspect has one, so the rule of three bounds the rate.
    return rate.replace(low=max(0.0, rate.low), high=max(rate.high, min(1.0, 3 / len(labels))))


def suspects(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the positions of the samples that surely belong to another class than their label's, worst first.

    The worst has the largest margin of its likeliest class over its label (normalised margin, section 3.2).
    """
    found = confident_classes(labels, probabilities)
    where = np.flatnonzero((found >= 0) & (found != labels))
    margins = probabilities[where, found[where]] - probabilities[where, labels[where]]
    ordered: np.ndarray = where[np.argsort(-margins, kind="stable")]
    return ordered


def _check(labels: np.ndarray, probabilities: np.ndarray) -> None:
    fits = labels.ndim == 1 and probabilities.ndim == 2 and len(labels) == len(probabilities) > 0
    if not fits or labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(
            f"got labels of shape {labels.shape} and probabilities of shape {probabilities.shape}; expected one class "
            "index a sample and one probability a sample and class. Align them, and leave out samples without a label."
        )
