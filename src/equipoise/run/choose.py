"""Chooses network and recipe for bare data, and says why. First choices, meant to be improved by trials."""

import numpy as np
import torch

from equipoise.core.data_plan import DataPlan
from equipoise.core.network_plan import (
    AutoencoderNetwork,
    ConvolutionalNetwork,
    DenseNetwork,
    NetworkPlan,
    RecurrentNetwork,
    ResidualNetwork,
    TransformerNetwork,
)
from equipoise.core.plan import Finish, Plan
from equipoise.core.recipe import Recipe
from equipoise.core.signature import ArrayInput, ImageInput, SoundInput, TextInput
from equipoise.data.samples import Splits

WARM_UP = 50
"""Steps in which a schedule-free training warms up."""


def choose_plan(splits: Splits, data: DataPlan, seed: int) -> Plan:
    """Return a plan for data whose task is known, with a reason for each choice in `plan.why`."""
    task = splits.signature.task
    network, network_why = _network(splits)
    recipe, recipe_why = choose_recipe(splits, network)
    finish: tuple[Finish, ...] = ("clusters",) if task.kind == "clustering" else ()
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in splits.name).strip("-._") or "data"
    return Plan(
        name=name,
        about=f"Chosen for {splits.name}: {task.kind} on {splits.signature.inputs.kind} data.",
        why=(*splits.notes, network_why, *recipe_why),
        seed=seed,
        data=data,
        network=network,
        recipe=recipe,
        finish=finish,
    )


def _network(splits: Splits) -> tuple[NetworkPlan, str]:
    inputs, task, n = splits.signature.inputs, splits.signature.task, len(splits.train)
    if task.kind in ("reconstruction", "clustering"):
        return AutoencoderNetwork(), f"network: autoencoder, because the task is {task.kind}"
    if isinstance(inputs, ImageInput):
        side = min(inputs.height, inputs.width)
        if side < 4:
            return DenseNetwork(), f"network: dense, because images of {side} pixels leave no room for convolutions"
        if side >= 32 and n >= 5000:
            return ResidualNetwork(), f"network: residual, because {n:,} images of {side} pixels feed a deep network"
        return ConvolutionalNetwork(dropout=0.2), f"network: convolutional, because {n:,} images share local features"
    if isinstance(inputs, SoundInput):
        return ConvolutionalNetwork(dropout=0.2), "network: convolutional over log-mel spectra, the usual one for sound"
    if isinstance(inputs, TextInput):
        if n >= 5000:
            return TransformerNetwork(dropout=0.1), f"network: transformer, because {n:,} texts can feed one"
        return (
            RecurrentNetwork(cell="gru", bidirectional=True, dropout=0.2),
            f"network: recurrent (GRU), because word order matters and {n:,} texts are few for a transformer",
        )
    if isinstance(inputs, ArrayInput) and inputs.axes == "steps,features":
        return RecurrentNetwork(cell="gru"), "network: recurrent (GRU), because the inputs are sequences"
    hidden = (32,) if n < 500 else (64, 64) if n < 20_000 else (128, 128)
    return (
        DenseNetwork(hidden=hidden, dropout=0.1 if n < 20_000 else 0.0),
        f"network: dense {'-'.join(map(str, hidden))}, a width that {n:,} training rows can feed",
    )


def choose_recipe(splits: Splits, network: NetworkPlan) -> tuple[Recipe, list[str]]:
    """Return how to train a network on data whose task is known, with a reason for each choice."""
    task, n = splits.signature.task, len(splits.train)
    anytime = task.classifies and isinstance(network, ConvolutionalNetwork)
    batch_size = int(2 ** np.clip(np.round(np.log2(max(n, 2) / 40)), 3, 6 if anytime else 7))
    epochs = int(np.clip(6000 * batch_size / n, 15, 300))
    patience = max(5, epochs // 6)
    recipe = Recipe(
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=1e-2,
        schedule="plateau",
        plateau_patience=max(2, patience // 3),
        batch_size=batch_size,
        epochs=epochs,
        patience=patience,
        max_grad_norm=5.0,
    )
    how = "AdamW", "the step is halved when progress stalls"
    if anytime:
        recipe = recipe.replace(
            optimizer="schedule-free", learning_rate=5e-3, schedule="constant", warmup_steps=WARM_UP
        )
        how = "schedule-free AdamW", "averaged weights are good at any moment, so no schedule has to know the end"
    why = [
        f"recipe: {how[0]} in batches of {batch_size}, at most {epochs} epochs, stopping after {patience} without a "
        f"better validation score; {how[1]}"
    ]
    targets = _targets(splits)
    if task.classifies:
        counts = np.bincount(targets.astype(np.int64), minlength=len(task.classes))
        ratio = counts.max() / max(counts.min(), 1)
        if ratio > 3:
            recipe = recipe.replace(class_weights="balanced")
            why.append(f"loss: cross-entropy with balanced class weights, since class sizes differ {ratio:.1f}-fold")
        else:
            why.append("loss: cross-entropy, the proper score for classes")
    elif task.kind == "regression":
        spread = (targets - targets.mean(0)) / np.maximum(targets.std(0), 1e-12)
        kurtosis = float((spread**4).mean())
        if kurtosis > 10:
            recipe = recipe.replace(loss="huber")
            why.append(f"loss: Huber, because the target has heavy tails (kurtosis {kurtosis:.0f}; normal: 3)")
        else:
            why.append("loss: mean squared error on the standardised target")
    return recipe, why


def _targets(splits: Splits) -> np.ndarray:
    n = min(len(splits.train), 20_000)
    _, targets = splits.train.batch(torch.arange(n)) if splits.train.resident else (None, _streamed_targets(splits, n))
    values: np.ndarray = targets.cpu().numpy()
    return values


def _streamed_targets(splits: Splits, n: int) -> torch.Tensor:
    return splits.train.batch(torch.arange(min(n, 256)))[1]
