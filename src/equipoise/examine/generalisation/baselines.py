"""Simple methods trained on the same part, so that a network's score has something to stand beside."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV

from equipoise.core.estimate import Estimate
from equipoise.examine.generalisation.fitting import MOST_SAMPLES, Method, Prepared, probabilities, quietly
from equipoise.examine.generalisation.sequence_baselines import sequence_methods
from equipoise.examine.generalisation.simple_features import simple_features
from equipoise.examine.scoring import scored
from equipoise.examine.subject import Subject
from equipoise.stats.metrics import score, score_estimate
from equipoise.stats.one_thread import one_thread

MOST_TREE_FEATURES = 64
TREE_WORK = 1_200_000
"""Samples x features x classes that trees are grown on, at most; fewer samples are taken beyond it."""


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """A simple method's answers on the test part.

    Attributes:
        name: The method, as people call it.
        answer: Its answers on the samples of `scored(subject, "test")`, of the form of the network's.
        validation: Its score on the validation part, by which the best one is chosen.
        test: Its score on the test part.
        n: Training samples it saw.
    """

    name: str
    answer: np.ndarray
    validation: float
    test: Estimate
    n: int


def baselines(subject: Subject) -> tuple[Baseline, ...]:
    """Return the simple methods, the one that answers every sample alike first; fitted once for all questions.

    Classes: the commonest class, logistic regression, boosted trees. Values: the mean, ridge regression, boosted trees.
    Sequences: the commonest label, and the commonest label of each token or logistic regression on each step.
    Reconstruction: the mean, and principal components as many as the code has numbers. Others: none.
    """
    return subject.once("baselines", lambda: _baselines(subject))


def best_of(found: tuple[Baseline, ...]) -> Baseline:
    """Return the baseline with the best validation score, so that the test part plays no role in the choice."""
    return max(found, key=lambda one: one.validation)


def _baselines(subject: Subject) -> tuple[Baseline, ...]:
    kind = subject.task.kind
    if kind in ("clustering", "generation"):
        return ()
    if kind == "reconstruction":
        methods = {"the mean": _mean_values, _components_name(subject): _components(subject)}
    elif kind == "sequence-labelling":
        methods = sequence_methods(subject)
    else:
        values = kind == "regression"
        methods = {
            ("the mean" if values else "the commonest answer"): _mean_values if values else _commonest,
            ("ridge regression" if values else "logistic regression"): _ridge if values else _logistic,
            "boosted trees": _trees_values if values else _trees,
        }
    found: list[Baseline] = []
    prepared = _prepared(subject)
    with one_thread():
        for name, method in methods.items():
            answers = method(subject, prepared)
            if answers is not None:
                found.append(_baseline(subject, name, answers, prepared))
    return tuple(found)


def _baseline(subject: Subject, name: str, answers: dict[str, np.ndarray], prepared: Prepared) -> Baseline:
    task = subject.task
    return Baseline(
        name=name,
        answer=answers["test"],
        validation=score(task, prepared.targets["validation"], answers["validation"]),
        test=score_estimate(task, prepared.targets["test"], answers["test"]),
        n=len(prepared.targets["train"]),
    )


def _prepared(subject: Subject) -> Prepared:
    targets = {part: scored(subject, part).targets for part in ("train", "validation", "test")}
    features = simple_features(subject)
    rows = np.arange(len(targets["train"]))
    if len(rows) > MOST_SAMPLES:
        rows = np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST_SAMPLES])
    return Prepared({**features, "train": features["train"][rows]}, {**targets, "train": targets["train"][rows]})


def _commonest(subject: Subject, prepared: Prepared) -> dict[str, np.ndarray]:
    targets = prepared.targets["train"]
    if subject.task.kind == "multilabel":
        shares = (targets > 0.5).mean(0)
    else:
        shares = np.bincount(targets, minlength=len(subject.task.classes)) / len(targets)
    return {part: np.tile(shares, (len(prepared.targets[part]), 1)) for part in ("validation", "test")}


def _mean_values(subject: Subject, prepared: Prepared) -> dict[str, np.ndarray]:
    del subject
    mean = prepared.targets["train"].reshape(len(prepared.targets["train"]), -1).mean(0)
    return {part: np.tile(mean, (len(prepared.targets[part]), 1)) for part in ("validation", "test")}


def _logistic(subject: Subject, prepared: Prepared) -> dict[str, np.ndarray] | None:
    def fit(features: np.ndarray, labels: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=0.3, max_iter=200, tol=1e-3).fit(features, labels)

    return _classified(subject, prepared.features, prepared.targets, fit)


def _trees(subject: Subject, prepared: Prepared) -> dict[str, np.ndarray] | None:
    classes = len(subject.task.classes)
    if subject.task.kind == "multilabel" and classes > 6:
        return None
    features, rows = _for_trees(prepared, classes)

    def fit(part: np.ndarray, labels: np.ndarray) -> HistGradientBoostingClassifier:
        return HistGradientBoostingClassifier(
            max_iter=max(10, min(60, 400 // max(classes, 1))),
            learning_rate=0.2,
            max_leaf_nodes=15,
            max_bins=64,
            early_stopping=False,
            random_state=0,
        ).fit(part, labels)

    targets = {**prepared.targets, "train": prepared.targets["train"][rows]}
    return _classified(subject, features, targets, fit)


def _classified(
    subject: Subject, features: dict[str, np.ndarray], targets: dict[str, np.ndarray], fit: Callable[..., object]
) -> dict[str, np.ndarray] | None:
    """Return class probabilities of a classifier, or of one a label; None where the training part has one class."""
    parts = ("validation", "test")
    if subject.task.kind != "multilabel":
        if len(np.unique(targets["train"])) < 2:
            return None
        model = quietly(fit, features["train"], targets["train"])
        return {part: probabilities(model, features[part], len(subject.task.classes)) for part in parts}
    columns: dict[str, list[np.ndarray]] = {part: [] for part in parts}
    for label in range(targets["train"].shape[1]):
        marks = (targets["train"][:, label] > 0.5).astype(np.int64)
        model = quietly(fit, features["train"], marks) if len(np.unique(marks)) > 1 else None
        for part in parts:
            share = np.full(len(features[part]), float(marks.mean()))
            columns[part].append(share if model is None else probabilities(model, features[part], 2)[:, 1])
    return {part: np.stack(columns[part], axis=1) for part in parts}


def _ridge(subject: Subject, prepared: Prepared) -> dict[str, np.ndarray]:
    del subject
    model = RidgeCV(alphas=np.logspace(-1, 5, 13)).fit(prepared.features["train"], prepared.targets["train"])
    shape = prepared.targets["train"].shape[1]
    return {
        part: np.asarray(model.predict(prepared.features[part])).reshape(-1, shape) for part in ("validation", "test")
    }


def _trees_values(subject: Subject, prepared: Prepared) -> dict[str, np.ndarray] | None:
    del subject
    columns = prepared.targets["train"].shape[1]
    if columns > 4:
        return None
    features, rows = _for_trees(prepared, columns)
    made: dict[str, list[np.ndarray]] = {"validation": [], "test": []}
    for column in range(columns):
        model = HistGradientBoostingRegressor(
            max_iter=60, learning_rate=0.1, max_leaf_nodes=15, max_bins=64, early_stopping=False, random_state=0
        ).fit(features["train"], prepared.targets["train"][rows, column])
        for part, values in made.items():
            values.append(np.asarray(model.predict(features[part])))
    return {part: np.stack(values, axis=1) for part, values in made.items()}


def _for_trees(prepared: Prepared, outputs: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return features few enough for trees to be grown in about a second, and which training rows they are of."""
    features = prepared.features
    n, width = features["train"].shape
    if width > MOST_TREE_FEATURES and n > MOST_TREE_FEATURES:
        reduce = PCA(MOST_TREE_FEATURES, svd_solver="randomized", random_state=0).fit(features["train"])
        features = {part: np.asarray(reduce.transform(values)) for part, values in features.items()}
        width = MOST_TREE_FEATURES
    most = max(300, TREE_WORK // max(1, width * outputs))
    rows = np.arange(n)
    if n > most:
        rows = np.sort(np.random.default_rng(1).permutation(n)[:most])
    return {**features, "train": features["train"][rows]}, rows


def _components_name(subject: Subject) -> str:
    return f"PCA with {_code(subject)} components"


def _code(subject: Subject) -> int:
    code = getattr(subject.plan.network, "code", 16) if subject.plan else 16
    train = scored(subject, "train").targets
    return max(1, min(int(code), len(train) - 1, train.shape[1]))


def _components(subject: Subject) -> Method:
    def method(same: Subject, prepared: Prepared) -> dict[str, np.ndarray]:
        del same
        model = PCA(_code(subject), svd_solver="auto", random_state=0).fit(prepared.targets["train"])
        return {
            part: np.asarray(model.inverse_transform(model.transform(prepared.targets[part])))
            for part in ("validation", "test")
        }

    return method


def k_means(subject: Subject, part: str) -> np.ndarray:
    """Return k-means clusters (n,) of a part, as many as the task asks for, fitted on the training part."""
    features = simple_features(subject)
    with one_thread():
        model = KMeans(max(2, subject.task.clusters), n_init=4, random_state=0).fit(features["train"][:MOST_SAMPLES])
        found: np.ndarray = model.predict(features[part])
    return found
