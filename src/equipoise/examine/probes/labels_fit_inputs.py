"""`labels-fit-inputs`: do the training targets belong to their inputs, as far as a plain learner can tell?"""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.model_selection import KFold
from torch import Tensor

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.categories import categories
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import draw
from equipoise.examine.probes.setup import Batch, Setup
from equipoise.stats.one_thread import one_thread

NAME = "labels-fit-inputs"
_ROWS, _COLUMNS, _TREES, _FOLDS, _SHUFFLES = 400, 300, 25, 4, 500
_SIGNAL, _NONE = 0.005, 0.05


@probe(NAME)
def labels_fit_inputs(setup: Setup) -> Symptom:
    """Let a forest of random trees predict held-out targets, of the training data and of the validation data.

    The score of its predictions is compared with that against shuffled targets (a permutation p-value). Both parts get
    the same number of rows, so that only the training targets' bond to their inputs can make the difference. Trees
    learn what thresholds on single columns, and combinations of a few, can tell; where they find nothing in either
    part, nothing follows for a network that sees more.

    References:
        P. Geurts, D. Ernst, L. Wehenkel. Extremely randomized trees. Machine Learning 2006.
    """
    if setup.opaque:
        raise InapplicableError("only the loss can read the targets")
    parts = {"training": setup.train}
    if setup.validation is not None and setup.validation[0].shape[1:] == setup.train[0].shape[1:]:
        parts["validation"] = setup.validation
    n = min(_ROWS, *(len(part[0]) for part in parts.values()))
    if n < 40:
        raise InapplicableError(f"{n} rows are too few for a second learner")
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        signals = {name: _signal(draw(part, n)) for name, part in parts.items()}
        across = _across(draw(setup.train, n), draw(parts["validation"], n)) if "validation" in parts else None
    estimates: dict[str, Estimate] = {}
    for name, signal in signals.items():
        estimates[f"skill on {name}"] = exact(signal.skill, n=n)
        estimates[f"p on {name}"] = exact(signal.p, n=_SHUFFLES)
    if across is not None:
        estimates["skill from training to validation"] = exact(across.skill, n=n)
    return _judged(signals, across, n, estimates)


@dataclass(frozen=True, slots=True)
class _Signal:
    """Share of the variation of targets that held-out predictions explain, and its p-value under shuffled targets."""

    skill: float
    p: float


def _judged(signals: dict[str, _Signal], across: _Signal | None, n: int, estimates: dict[str, Estimate]) -> Symptom:
    train, held = signals["training"], signals.get("validation")
    claim = f"On {n} rows, a forest of trees explains {train.skill:.0%} of the training targets (p {train.p:.2g})"
    if held is not None:
        claim += f" and {held.skill:.0%} of the validation targets (p {held.p:.2g})"
    torn = across is not None and across.p > _NONE
    # One shuffle in twenty is seen to hold across by chance, though by hardly anything.
    apart = torn or (across is not None and held is not None and across.skill < held.skill / 10)
    if held is not None and held.p <= _SIGNAL and held.skill > 0.1 and train.p > _NONE and apart:
        claim += ": the training targets do not belong to their inputs. Check that both were put in one order."
        suggests = {"wrong_labels": 6.5}
        return Symptom(
            name=NAME, verdict=Verdict.FAIL, claim=claim, where=("targets",), suggests=suggests, estimates=estimates
        )
    if held is not None and held.p <= _SIGNAL and held.skill > 0.3 and torn:
        claim += (
            ", but what is learned from the one does not hold on the other: their labels or inputs mean "
            "different things."
        )
        suggests = {"wrong_labels": 3.0}
        return Symptom(
            name=NAME, verdict=Verdict.WARN, claim=claim, where=("targets",), suggests=suggests, estimates=estimates
        )
    if train.p > _NONE:
        claim += (
            ": it finds no bond between inputs and targets. Check the labels, unless only a richer model can see one."
        )
        suggests = {"wrong_labels": 1.0}
        return Symptom(
            name=NAME, verdict=Verdict.UNSURE, claim=claim, where=("targets",), suggests=suggests, estimates=estimates
        )
    return Symptom(name=NAME, verdict=Verdict.PASS, claim=f"{claim}.", estimates=estimates)


def _signal(data: Batch) -> _Signal:
    """Return the skill of predictions for rows that the forest was not grown on."""
    inputs, targets, labelled = _arrays(data)
    predicted = np.zeros_like(targets, dtype=float)
    for train, test in KFold(_FOLDS, shuffle=True, random_state=0).split(inputs):
        predicted[test] = _grown(inputs[train], targets[train], inputs[test], labelled=labelled)
    return _of(predicted, targets)


def _across(train: Batch, held: Batch) -> _Signal:
    """Return the skill on held-out rows of a forest grown on training rows."""
    inputs, targets, labelled = _arrays(train)
    new, wanted, _ = _arrays(held)
    if targets.shape[1] != wanted.shape[1]:
        return _Signal(0.0, 0.0)
    return _of(_grown(inputs, targets, new, labelled=labelled), wanted)


def _grown(inputs: np.ndarray, targets: np.ndarray, new: np.ndarray, *, labelled: bool) -> np.ndarray:
    if labelled:
        labels = targets.argmax(1)
        forest = ExtraTreesClassifier(_TREES, min_samples_leaf=2, random_state=0).fit(inputs, labels)
        wide = np.zeros((len(new), targets.shape[1]))
        wide[:, forest.classes_] = forest.predict_proba(new)
        return wide
    grown = ExtraTreesRegressor(_TREES, min_samples_leaf=2, random_state=0).fit(inputs, targets.squeeze())
    return np.asarray(grown.predict(new)).reshape(len(new), -1)


def _of(predicted: np.ndarray, targets: np.ndarray) -> _Signal:
    """Return the squared correlation of predictions and targets over all columns, and its permutation p-value."""
    generator = np.random.default_rng(0)
    made, wanted = predicted - predicted.mean(0), targets - targets.mean(0)
    size = np.sqrt((made**2).sum() * (wanted**2).sum())
    if size <= 0:
        return _Signal(0.0, 1.0)
    seen = float((made * wanted).sum() / size)
    orders = np.stack([generator.permutation(len(targets)) for _ in range(_SHUFFLES)])
    chance = np.array([(made * wanted[order]).sum() / size for order in orders])
    p = float((1 + (chance >= seen - 1e-12).sum()) / (1 + _SHUFFLES))
    return _Signal(max(0.0, seen) ** 2, p)


def _arrays(data: Batch) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return inputs (n, columns), targets (n, columns), and whether those are one-hot classes."""
    inputs = _flat(data[0])
    found = categories(data[1])
    several = found is not None and 2 <= len(np.unique(found)) <= 30
    if found is not None and several:
        return inputs, np.eye(int(found.max()) + 1)[found], True
    targets = _flat(data[1])[:, :8]
    return inputs, targets - targets.mean(0), False


def _flat(values: Tensor) -> np.ndarray:
    flat = np.nan_to_num(values.detach().cpu().double().reshape(len(values), -1).numpy())
    if flat.shape[1] <= _COLUMNS:
        return flat
    # Sums over windows of neighbours, which carry what sequences and images say in few columns.
    edges = np.linspace(0, flat.shape[1], _COLUMNS + 1).astype(int)[:-1]
    return np.add.reduceat(flat, edges, axis=1)
