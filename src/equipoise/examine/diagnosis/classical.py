"""What classical learners make of the same data: how much there is to learn."""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from equipoise.examine.diagnosis.judge import MOST_JUDGED, Judge
from equipoise.examine.probes.setup import Batch
from equipoise.examine.probes.task import labels_of
from equipoise.stats.one_thread import one_thread

MOST_ROWS = 800
MOST_COLUMNS = 1024
TREES = 40
MOST_TARGETS = 32
"""A forest is not asked for more quantities than this: it takes its time over each."""


def ceiling(train: Batch, judge: Judge, deadline: float = math.inf) -> float | None:
    """Return the skill of the better of a linear learner and a forest on the judged rows; None where none is fitted.

    Args:
        train: Training rows.
        judge: How outputs are judged, and on what.
        deadline: Value of `time.perf_counter` from which no further learner is fitted.
    """
    return _best(train, judge.data, judge, deadline)


def learnable(train: Batch, judge: Judge, deadline: float = math.inf) -> float | None:
    """Return the skill that classical learners reach on one half of the training rows after learning the other."""
    order = torch.randperm(len(train[0]), generator=torch.Generator().manual_seed(0))
    half = len(order) // 2
    first, second = order[:half], order[half:]
    return _best((train[0][first], train[1][first]), (train[0][second], train[1][second]), judge, deadline)


def _best(train: Batch, held: Batch, judge: Judge, deadline: float) -> float | None:
    inputs, others = _matrix(train[0][:MOST_ROWS]), _matrix(held[0][:MOST_JUDGED])
    if inputs.shape[1] > MOST_COLUMNS or not np.isfinite(inputs).all() or len(inputs) < 8:
        return None
    skills: list[float] = []
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a linear learner that did not converge is still a learner
        for outputs in _answers(inputs, train[1][:MOST_ROWS], others, judge):
            skills.append(judge.of(outputs, held[1][:MOST_JUDGED]).skill)
            if time.perf_counter() > deadline:
                break
    return max(0.0, *skills) if skills else None


def _answers(inputs: np.ndarray, targets: Tensor, others: np.ndarray, judge: Judge) -> Iterator[Tensor]:
    """Yield what learners answer to other rows, the quicker learner first."""
    task = judge.task
    if task.kind == "opaque":
        return
    if task.kind in ("values", "multilabel"):
        wanted = targets.double().reshape(len(targets), -1).numpy()
        fits: tuple[Callable[[], Any], ...] = (
            lambda: make_pipeline(StandardScaler(), Ridge()).fit(inputs, wanted),
            lambda: RandomForestRegressor(TREES, min_samples_leaf=2, random_state=0).fit(inputs, wanted.squeeze()),
        )
        for fit in fits if wanted.shape[1] <= MOST_TARGETS else fits[:1]:
            found = torch.as_tensor(fit().predict(others)).reshape(len(others), -1)
            yield found - task.middle + judge.cut if task.kind == "multilabel" else found
        return
    labels = labels_of(task, targets).numpy()
    if labels.shape[1] > 1 or labels.min() < 0 or len(np.unique(labels)) < 2:
        return
    learners: tuple[Any, ...] = (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=100)),
        RandomForestClassifier(TREES, random_state=0),
    )
    for one in learners:
        answers = torch.as_tensor(one.fit(inputs, labels[:, 0]).predict(others)).long()
        if task.kind == "binary":
            yield answers.double().reshape(-1, 1) - 0.5 + judge.cut
        else:
            yield torch.nn.functional.one_hot(answers, task.classes).double()


def _matrix(inputs: Tensor) -> np.ndarray:
    return inputs.detach().double().reshape(len(inputs), -1).numpy()
