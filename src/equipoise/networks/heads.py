"""Heads: what a network's scores mean, one a task."""

import torch
from torch import Tensor, nn

from equipoise.core.preprocessing import Preprocessing
from equipoise.core.signature import Task
from equipoise.networks.network import Head


class ClassHead(Head):
    """Logits over classes along the last axis; multiclass (n, classes) and sequence labelling (n, steps, classes).

    `temperature` divides the scores in outputs and answers, not in what is trained (Guo et al., ICML 2017).
    """

    temperature: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.tensor(1.0))

    def outputs(self, scores: Tensor) -> Tensor:
        """Return the calibrated logits."""
        return scores / self.temperature

    def answer(self, scores: Tensor) -> Tensor:
        """Return probabilities that sum to 1 along the last axis."""
        return self.outputs(scores).softmax(-1)


class BinaryHead(ClassHead):
    """One score z a sample, shape (n, 1), as the logits (0, z) of two classes."""

    def outputs(self, scores: Tensor) -> Tensor:
        """Return the calibrated logits (n, 2)."""
        z = scores / self.temperature
        return torch.cat([torch.zeros_like(z), z], dim=-1)


class MultilabelHead(ClassHead):
    """Independent logits (n, labels)."""

    def answer(self, scores: Tensor) -> Tensor:
        """Return each label's probability, (n, labels)."""
        return self.outputs(scores).sigmoid()


class RegressionHead(Head):
    """Standardised targets as scores, the user's units as outputs, shape (n, targets)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: tuple[float, ...], scale: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean or (0.0,)))
        self.register_buffer("scale", torch.tensor(scale or (1.0,)))

    def outputs(self, scores: Tensor) -> Tensor:
        """Return the user's units."""
        return scores * self.scale + self.mean

    def standardise(self, targets: Tensor) -> Tensor:
        """Return targets in the user's units on the scale of the scores."""
        return (targets - self.mean) / self.scale


class ReconstructionHead(Head):
    """Standardised features as scores and outputs; raw inputs as answer where the pre-processing can be undone."""

    def __init__(self, inverse: nn.Module | None) -> None:
        super().__init__()
        self.inverse = inverse

    def answer(self, scores: Tensor) -> Tensor:
        """Return raw inputs, or the features as they are where nothing leads back (sound)."""
        if self.inverse is None:
            return scores
        raw: Tensor = self.inverse(scores)
        return raw


class ClusteringHead(Head):
    """Codes (n, code) as scores; soft assignment to centroids (n, clusters) as answer.

    The assignment is Student's t kernel with one degree of freedom, normalised (Xie et al., ICML 2016, eq. 1).
    `centroids` (clusters, code) are zero until a fit or `place` sets them; until then all clusters are equally likely.
    """

    centroids: Tensor

    def __init__(self, clusters: int, code: int) -> None:
        super().__init__()
        self.register_buffer("centroids", torch.zeros(clusters, code))

    def outputs(self, scores: Tensor) -> Tensor:
        """Return the logarithm of the unnormalised assignment, (n, clusters)."""
        squared = (scores.unsqueeze(1) - self.centroids).square().sum(-1)
        return -torch.log1p(squared)

    def answer(self, scores: Tensor) -> Tensor:
        """Return the soft assignment; rows sum to 1."""
        return self.outputs(scores).softmax(-1)

    def place(self, centroids: Tensor) -> None:
        """Set the centroids.

        Raises:
            ValueError: The shape is not (clusters, code).
        """
        if centroids.shape != self.centroids.shape:
            raise ValueError(
                f"got centroids of shape {tuple(centroids.shape)}; expected {tuple(self.centroids.shape)}. "
                "Cluster the codes that `network.scores` gives into `task.clusters` clusters."
            )
        self.centroids.copy_(centroids)


class GenerationHead(Head):
    """The discriminator's logit (n, 1) as score; the probability of being real as answer."""

    def answer(self, scores: Tensor) -> Tensor:
        """Return the probability that each sample is real, (n, 1)."""
        return scores.sigmoid()


def score_width(task: Task, preprocessing: Preprocessing) -> int:
    """Return how many scores a sample (or, in sequence labelling, a step) has; 0 where the features decide it.

    Raises:
        ValueError: A task that needs classes names fewer than it needs.
    """
    if task.kind == "binary":
        _need_classes(task, 2, 2)
        return 1
    if task.kind in ("multiclass", "sequence-labelling"):
        _need_classes(task, 2, None)
        return len(task.classes)
    if task.kind == "multilabel":
        _need_classes(task, 1, None)
        return len(task.classes)
    if task.kind == "regression":
        return len(task.targets) or len(preprocessing.target_mean) or 1
    return 1 if task.kind == "generation" else 0


def head_of(task: Task, preprocessing: Preprocessing, *, inverse: nn.Module | None = None, code: int = 0) -> Head:
    """Return the head of a task.

    Args:
        task: What is predicted.
        preprocessing: Holds the targets' mean and scale (regression).
        inverse: From features to raw inputs (reconstruction).
        code: Width of the embedding (clustering).

    Raises:
        ValueError: The targets' numbers have another length than the targets; fewer than 2 clusters.
    """
    if task.kind == "binary":
        return BinaryHead()
    if task.kind in ("multiclass", "sequence-labelling"):
        return ClassHead()
    if task.kind == "multilabel":
        return MultilabelHead()
    if task.kind == "regression":
        return _regression_head(task, preprocessing)
    if task.kind == "reconstruction":
        return ReconstructionHead(inverse)
    if task.kind == "clustering":
        if task.clusters < 2:
            raise ValueError(f"got {task.clusters} clusters; expected at least 2. Set `data.clusters`.")
        return ClusteringHead(task.clusters, code)
    return GenerationHead()


def _regression_head(task: Task, preprocessing: Preprocessing) -> RegressionHead:
    width = score_width(task, preprocessing)
    lengths = {len(preprocessing.target_mean), len(preprocessing.target_scale)} - {0}
    if lengths - {width}:
        raise ValueError(
            f"got {len(preprocessing.target_mean)} target means and {len(preprocessing.target_scale)} target scales "
            f"for {width} targets; expected one of each a target. Fit the pre-processing on the same targets."
        )
    return RegressionHead(
        preprocessing.target_mean or (0.0,) * width,
        preprocessing.target_scale or (1.0,) * width,
    )


def _need_classes(task: Task, least: int, most: int | None) -> None:
    if len(task.classes) < least or (most is not None and len(task.classes) > most):
        expected = str(least) if most == least else f"at least {least}"
        raise ValueError(
            f"got {len(task.classes)} classes for the task {task.kind}; expected {expected}. "
            "Name the classes in `Task.classes`."
        )
