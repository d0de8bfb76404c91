"""What classical learners make of the same data: how much there is to learn."""

import warnings

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from equipoise.examine.diagnosis.runs import Judge
from equipoise.examine.probes.setup import Batch
from equipoise.stats.one_thread import one_thread

MOST_ROWS = 800
MOST_COLUMNS = 1024
TREES = 40


def ceiling(train: Batch, judge: Judge) -> float:
    """Return the skill of the better of a forest and a linear learner on the judged rows; 0 where none can be fitted.

    Args:
        train: Training rows.
        judge: How outputs are judged, and on what.
    """
    return _best(train, judge.data, judge)


def learnable(train: Batch, judge: Judge) -> float:
    """Return the skill that classical learners reach on one half of the training rows after learning the other."""
    order = torch.randperm(len(train[0]), generator=torch.Generator().manual_seed(0))
    half = len(order) // 2
    first, second = order[:half], order[half:]
    return _best((train[0][first], train[1][first]), (train[0][second], train[1][second]), judge)


def _best(train: Batch, held: Batch, judge: Judge) -> float:
    inputs, others = _matrix(train[0][:MOST_ROWS]), _matrix(held[0])
    if inputs.shape[1] > MOST_COLUMNS or not np.isfinite(inputs).all() or len(inputs) < 8:
        return 0.0
    best = 0.0
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a linear learner that did not converge is still a learner
        for outputs in _answers(inputs, train[1][:MOST_ROWS], others, judge):
            best = max(best, judge.of(outputs, held[1]).skill)
    return best


def _answers(inputs: np.ndarray, targets: Tensor, others: np.ndarray, judge: Judge) -> list[Tensor]:
    goal = judge.goal
    if goal.kind in ("regression", "multilabel"):
        wanted = targets.double().reshape(len(targets), -1).numpy()
        fitted = (
            RandomForestRegressor(TREES, min_samples_leaf=2, random_state=0).fit(inputs, wanted.squeeze()),
            make_pipeline(StandardScaler(), Ridge()).fit(inputs, wanted),
        )
        found = [torch.as_tensor(one.predict(others)).reshape(len(others), -1) for one in fitted]
        return [one - 0.5 + judge.cut for one in found] if goal.kind == "multilabel" else found
    labels = targets.argmax(-1).numpy() if goal.kind == "one-hot" else targets.reshape(-1).long().numpy()
    if len(np.unique(labels)) < 2:
        return []
    learners = (
        RandomForestClassifier(TREES, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=100)),
    )
    found = []
    for one in learners:
        answers = torch.as_tensor(one.fit(inputs, labels).predict(others)).long()
        if goal.kind == "binary":
            found.append(answers.double().reshape(-1, 1) - 0.5 + judge.cut)
        else:
            found.append(torch.nn.functional.one_hot(answers, goal.classes).double())
    return found


def _matrix(inputs: Tensor) -> np.ndarray:
    return inputs.detach().double().reshape(len(inputs), -1).numpy()
