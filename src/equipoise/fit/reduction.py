"""Fewer numbers as a fixed first layer: principal components, discriminant directions, informative features."""

import numpy as np
import torch
from torch import Tensor

from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.plan import Plan
from equipoise.core.preprocessing import Preprocessing, Projection, Reduction, Selection
from equipoise.data.samples import Splits
from equipoise.fit.seeds import derive
from equipoise.networks.preprocess import preprocess_module
from equipoise.stats.one_thread import one_thread

MOST_FEATURES = 4096
"""More features than this make matrices too large to be written into a network's file."""

MOST_ROWS = 4000
"""At most so many training rows, evenly spaced, are looked at."""

VARIANCE = 0.95
"""Share of the variance that principal components hold unless their number is given."""


ROUNDING = 1e-10
"""Components with less than this share of the largest variance hold nothing but rounding."""


def with_reduction(plan: Plan, seed: int, splits: Splits) -> Preprocessing:
    """Return the pre-processing with the reduction that a plan asks for, fitted on the training part.

    Args:
        plan: Its data section says which and how many components.
        seed: Draws what estimates of information need.
        splits: The data.

    Raises:
        ValueError: There are too many features.
    """
    features, targets = _rows(plan, splits)
    if features.shape[1] > MOST_FEATURES:
        raise ValueError(
            f"data.training.reduction: got {features.shape[1]:,} features; expected at most {MOST_FEATURES:,}. Leave "
            "it out, or make the inputs smaller."
        )
    wish, kind = plan.data.training.components, splits.signature.task.kind
    with one_thread():
        if plan.data.training.reduction == "pca":
            found: Reduction = principal_components(features, wish)
        elif plan.data.training.reduction == "lda":
            found = discriminants(features, targets, wish)
        else:
            discrete = kind != "regression"
            found = informative(features, targets, wish, derive(seed, "information") % 2**32, discrete=discrete)
    return splits.preprocessing.replace(reduction=found)


def principal_components(features: np.ndarray, wish: int | None) -> Projection:
    """Return the projection on the first principal components of features (n, d), whitened; at most as many as wished.

    Directions in which the features do not vary are left out.
    """
    from sklearn.decomposition import PCA  # imported here, like the other two: it takes a second and few need it

    most = min(features.shape)
    fitted = PCA(n_components=min(wish, most) if wish else VARIANCE, svd_solver="full").fit(features)
    variance = fitted.explained_variance_
    real = max(1, int((variance > ROUNDING * variance[0]).sum()))  # whitening would blow up what is rounding
    scale = np.sqrt(np.where(variance > 0, variance, 1.0))
    return _projection("pca", fitted.mean_, (fitted.components_ / scale[:, None])[:real])


def discriminants(features: np.ndarray, labels: np.ndarray, wish: int | None) -> Projection:
    """Return the projection on the directions that tell classes apart best, with unit variance within classes.

    The within-class covariance is shrunk (Ledoit and Wolf, 2004), so that collinear or many features do no harm.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    with np.errstate(invalid="ignore"):  # where no mean differs, the shares of variance, which nobody reads, are 0 / 0
        fitted = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(features, labels)
    most = min(features.shape[1], len(np.unique(labels)) - 1)
    rows = fitted.scalings_[:, : min(wish or most, most)].T
    return _projection("lda", features.mean(0), rows)


def informative(features: np.ndarray, targets: np.ndarray, wish: int | None, seed: int, *, discrete: bool) -> Selection:
    """Return the features that share most information with the targets (n,) or (n, k).

    Without a wish, those that share more than the best of them does with shuffled targets; at least one.

    References:
        A. Kraskov, H. Stögbauer, P. Grassberger. Estimating mutual information. Physical Review E 69, 2004.
    """
    columns = targets.reshape(len(targets), -1).T
    found = _information(features, columns, seed, discrete=discrete)
    if wish is None:
        shuffled = columns[:, np.random.default_rng(seed).permutation(len(targets))]
        line = _information(features, shuffled, seed, discrete=discrete).max()
        wish = max(1, int((found > line).sum()))
    chosen = np.sort(np.argsort(-found, kind="stable")[:wish])
    return Selection(chosen=tuple(int(one) for one in chosen), size=features.shape[1])


def _information(features: np.ndarray, columns: np.ndarray, seed: int, *, discrete: bool) -> np.ndarray:
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    measure = mutual_info_classif if discrete else mutual_info_regression
    mean: np.ndarray = np.mean([measure(features, one, random_state=seed) for one in columns], axis=0)
    return mean


def _projection(origin: str, mean: np.ndarray, rows: np.ndarray) -> Projection:
    return Projection.read(
        {"origin": origin, "mean": [float(one) for one in mean], "rows": [[float(one) for one in row] for row in rows]}
    )


@torch.no_grad()
def _rows(plan: Plan, splits: Splits) -> tuple[np.ndarray, np.ndarray]:
    """Return flattened features (n, d) and targets of at most `MOST_ROWS` training rows."""
    standardise = bool(getattr(plan.network, "standardise", True))
    preprocess = preprocess_module(splits.signature, splits.preprocessing, standardise=standardise)
    n = len(splits.train)
    index = torch.linspace(0, n - 1, min(n, MOST_ROWS), dtype=torch.float64).round().long()
    features: list[Tensor] = []
    targets: list[Tensor] = []
    for chunk in index.split(512):
        inputs, wanted = splits.train.batch(chunk)
        features.append(preprocess(inputs).flatten(1))
        targets.append(wanted)
    return torch.cat(features).double().numpy(), torch.cat(targets).numpy()


def check_reduction(plan: Plan, splits: Splits) -> None:
    """Refuse a reduction that the inputs, the task or the network cannot have, before anything is trained.

    Raises:
        ValueError: Token ids, a task without one target a sample, or a network made elsewhere.
    """
    name, kind = plan.data.training.reduction, splits.signature.task.kind
    where = f"data.training.reduction: got {name!r}"
    if isinstance(plan.network, ForeignNetwork):
        raise ValueError(
            f"{where} for a network made elsewhere, whose first layer takes the inputs as they are; expected a family. "
            "Leave it out, or put the layer into the network's code."
        )
    if splits.signature.inputs.kind == "text":
        raise ValueError(f"{where} for token ids; expected numbers. Leave it out.")
    if name == "lda" and not splits.signature.task.classifies:
        raise ValueError(f"{where} for the task {kind}; expected one class a sample. Use 'pca' or 'information'.")
    if kind not in ("binary", "multiclass", "multilabel", "regression"):
        raise ValueError(f"{where} for the task {kind}; expected a task with one target a sample. Leave it out.")
