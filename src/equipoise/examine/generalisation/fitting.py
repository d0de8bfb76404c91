"""What the simple methods share: their data, and fitting a classifier of scikit-learn."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from equipoise.examine.subject import Subject

MOST_SAMPLES = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Features and targets by part; the training part at most `MOST_SAMPLES` long."""

    features: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]


Method = Callable[[Subject, Prepared], dict[str, np.ndarray] | None]
"""Fits on the training part and returns answers on the validation and test parts; None where it makes no sense."""


def quietly(fit: Callable[..., object], features: np.ndarray, labels: np.ndarray) -> object:
    """Return what `fit` returns, without its warnings about convergence."""
    with warnings.catch_warnings():
        # A baseline that has not quite converged is still a baseline.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(features, labels)


def probabilities(model: object, features: np.ndarray, classes: int) -> np.ndarray:
    """Return a classifier's probabilities (n, classes); 0 for classes that it never saw."""
    fitted: LogisticRegression = model  # type: ignore[assignment] - any classifier of scikit-learn
    full = np.zeros((len(features), classes))
    full[:, np.asarray(fitted.classes_)] = fitted.predict_proba(features)
    return full
