"""Simple methods that give every step of a sequence its label."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from equipoise.core.signature import TextInput
from equipoise.examine.generalisation.fitting import MOST_SAMPLES, Method, Prepared, probabilities, quietly
from equipoise.examine.scoring import scored
from equipoise.examine.subject import Subject
from equipoise.stats.metrics import IGNORED


def sequence_methods(subject: Subject) -> dict[str, Method]:
    """Return the methods by name, the one that answers every step alike first."""
    ids = isinstance(subject.splits.signature.inputs, TextInput)
    second: dict[str, Method] = (
        {"the commonest label of each token": _by_token} if ids else {"logistic regression on each step": _by_step}
    )
    return {"the commonest label": _commonest_label, **second}


def _commonest_label(subject: Subject, prepared: Prepared) -> dict[str, np.ndarray]:
    train = prepared.targets["train"]
    shares = np.bincount(train[train != IGNORED], minlength=len(subject.task.classes)).astype(float)
    shares /= max(shares.sum(), 1.0)
    return {
        part: np.broadcast_to(shares, (*prepared.targets[part].shape, len(shares))) for part in ("validation", "test")
    }


def _by_token(subject: Subject, prepared: Prepared) -> dict[str, np.ndarray]:
    del prepared
    spec, classes = subject.splits.signature.inputs, len(subject.task.classes)
    if not isinstance(spec, TextInput):
        raise TypeError(f"got inputs of kind {spec.kind!r}; expected text. Use logistic regression on each step.")
    tokens, labels = subject.answers("train").inputs.numpy(), scored(subject, "train").targets
    kept = labels != IGNORED
    counts = np.zeros((spec.vocabulary, classes))
    np.add.at(counts, (tokens[kept].clip(0, spec.vocabulary - 1), labels[kept]), 1.0)
    # One sample's worth of the overall shares decides for tokens that were never seen.
    counts += counts.sum(0) / max(counts.sum(), 1.0)
    counts /= counts.sum(1, keepdims=True)
    return {
        part: counts[subject.answers(part).inputs.numpy().clip(0, spec.vocabulary - 1)]
        for part in ("validation", "test")
    }


def _by_step(subject: Subject, prepared: Prepared) -> dict[str, np.ndarray] | None:
    del prepared
    parts = {part: subject.answers(part).inputs.numpy() for part in ("train", "validation", "test")}
    labels = scored(subject, "train").targets
    if any(values.shape[:2] != (len(values), labels.shape[1]) for values in parts.values()):
        return None
    width = int(np.prod(parts["train"].shape[2:]))
    kept = labels != IGNORED
    steps, marks = np.nan_to_num(parts["train"].reshape(*labels.shape, width)[kept]), labels[kept]
    if len(np.unique(marks)) < 2:
        return None
    rows = np.random.default_rng(0).permutation(len(marks))[: 4 * MOST_SAMPLES]
    scaler = StandardScaler().fit(steps[rows])

    def fit(features: np.ndarray, targets: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=0.3, max_iter=200, tol=1e-3).fit(features, targets)

    model = quietly(fit, np.asarray(scaler.transform(steps[rows])), marks[rows])
    made: dict[str, np.ndarray] = {}
    for part in ("validation", "test"):
        flat = np.nan_to_num(parts[part].reshape(-1, width))
        shape = (*parts[part].shape[:2], len(subject.task.classes))
        made[part] = probabilities(model, np.asarray(scaler.transform(flat)), shape[-1]).reshape(shape)
    return made
