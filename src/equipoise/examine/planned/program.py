"""The training that a plan describes, as a plain loop that probes and diagnoses can run."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.core.plan import Plan
from equipoise.core.recipe import Recipe
from equipoise.data.samples import Samples, Splits, take
from equipoise.examine.planned.optimizer import PlannedOptimizer, is_plain, positions_of_hidden, stepper_of
from equipoise.examine.probes.setup import MakeOptimizer
from equipoise.fit.bodies import CodingBody
from equipoise.fit.feed import KEPT_FEATURES_BYTES, targets_on_scale
from equipoise.fit.losses import balanced_weights, criterion
from equipoise.fit.optimizers import build_stepper
from equipoise.fit.prepare import check_plan
from equipoise.networks.build import build
from equipoise.networks.network import Network


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A training to be diagnosed.

    Attributes:
        arguments: Those of `diagnose`, by name.
        left_out: What the diagnosis does without, each with the reason.
    """

    arguments: Mapping[str, Any]
    left_out: dict[str, str] = field(default_factory=dict)


def program_of_plan(plan: Plan, splits: Splits, *, trust: bool = False) -> Program:
    """Return the training that a plan describes as a plain loop: features in, scores out, the recipe's loss and steps.

    The network is the body that `fit` would train, on pre-processed inputs; targets are on the scale of its scores.
    What a plain loop cannot do is named in `left_out`.

    Args:
        plan: Network and recipe.
        splits: The data.
        trust: Whether a foreign network's file may run code.

    Raises:
        ValueError: Recipe, task, data and network do not belong together, or the task is generation.
    """
    network = build(plan.network, splits.signature, splits.preprocessing, plan.seed, trust=trust).eval()
    check_plan(plan, network)
    recipe, task = plan.recipe, network.signature.task
    if task.kind == "generation":
        raise ValueError(
            "got a plan for generation, whose two networks have no targets; expected a task with targets. Diagnose "
            "your own loop instead: equipoise.diagnose(..., step=step, begin=begin)."
        )
    body = _Reconstructing(network.body) if task.kind == "clustering" else network.body
    train, validation = (_rows(part, network, plan.seed) for part in (splits.train, splits.validation))
    weights = None
    if recipe.class_weights != "none":
        weights = balanced_weights(train[1], task.kind, len(task.classes))
    whole = recipe.optimizer == "gradient-descent"
    size = len(train[0]) if whole else recipe.batch_size * recipe.accumulate
    if len(train[0]) % size == 1 and len(train[0]) > size:
        # `fit` joins a last batch of one row to the one before it; batch norm cannot learn from one row.
        train = (train[0][:-1], train[1][:-1])
    arguments = {
        "network": body.train(),
        "loss": criterion(recipe, task.kind, weights),
        "optimizer": _optimizer(recipe, body, math.ceil(len(train[0]) / size)),
        "train": train,
        "validation": None if _undivided(splits) else validation,
        "batch_size": size,
        "epochs": recipe.epochs,
        "shuffle": not whole,
    }
    return Program(arguments, _left_out(plan, network, splits, len(train[0])))


@torch.no_grad()
def _rows(samples: Samples, network: Network, seed: int) -> tuple[Tensor, Tensor]:
    """Return features and targets of a part: of all samples, or of as many as fit into memory."""
    inputs, _ = samples.batch(torch.zeros(1, dtype=torch.int64))
    one = network.preprocess(inputs)
    size = max(one.numel() * one.element_size(), inputs.numel() * inputs.element_size())
    most = max(1, KEPT_FEATURES_BYTES // size)
    inputs, targets, _ = take(samples, most, torch.Generator().manual_seed(seed))
    features = torch.cat([network.preprocess(chunk) for chunk in inputs.split(1024)])
    if network.signature.task.kind in ("reconstruction", "clustering"):
        return features, features
    return features, targets_on_scale(network)(targets)


def _optimizer(recipe: Recipe, body: nn.Module, steps_per_epoch: int) -> MakeOptimizer:
    """Return a function of parameters that makes the recipe's optimiser."""
    stepper = build_stepper(recipe, body, torch.device("cpu"))
    trained = [parameter for parameter in body.parameters() if parameter.requires_grad]
    hidden = positions_of_hidden(stepper, trained)
    plain = is_plain(recipe, stepper)

    def make(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        if plain:
            return stepper_of(recipe, list(parameters), hidden).parts[0]
        return PlannedOptimizer(
            parameters,
            recipe,
            total_steps=recipe.epochs * steps_per_epoch,
            steps_per_epoch=steps_per_epoch,
            hidden=hidden,
        )

    return make


def _undivided(splits: Splits) -> bool:
    """Return whether training and validation part are the same rows, as in data that are never divided."""
    return bool(np.array_equal(np.sort(splits.rows["train"]), np.sort(splits.rows["validation"])))


def _left_out(plan: Plan, network: Network, splits: Splits, rows: int) -> dict[str, str]:
    """Return what the plain loop of a plan does without."""
    recipe = plan.recipe
    there = {
        "validation": _undivided(splits) and "the data are not divided, so the training rows are judged",
        "augmentation": bool(recipe.augmentation) and "the rows are taken as they are",
        "early stopping": recipe.patience is not None and "every epoch is run, and the network at the end is judged",
        "weight averaging": recipe.weight_averaging != "none" and "the weights of the last step are judged",
        "plateau schedule": recipe.schedule == "plateau" and "the learning rate stays at its peak",
        "bfloat16": recipe.precision == "bfloat16" and "the runs are in float32",
        "divergence": hasattr(network.body, "scores_and_divergence") and "the loss is that of the reconstruction alone",
        "finishing steps": bool(plan.finish) and "the network is judged as it leaves the loop",
        "rows": rows < len(splits.train) - 1 and f"{rows:,} of {len(splits.train):,} training rows fit into memory",
    }
    return {name: reason for name, reason in there.items() if isinstance(reason, str)}


class _Reconstructing(nn.Module):
    """The body of a clustering network as it is trained: features to their reconstruction."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, features: Tensor) -> Tensor:
        """Return the reconstruction, of the features' shape."""
        return cast(CodingBody, self.body).reconstruct(features)
