"""Lays a training out as a chain for the plan lane, where that is possible."""

import torch
from torch import Tensor

from equipoise.core.recipe import Recipe
from equipoise.core.signature import TaskKind
from equipoise.fit.job import Job
from equipoise.fit.lanes.layout import layers_of
from equipoise.fit.lanes.native import Steps
from equipoise.fit.lanes.plan import MOMENTS, Memory, PlanLane, layer_numbers, memory_of
from equipoise.fit.lanes.signs import Signs
from equipoise.fit.losses import balanced_weights, choose_loss
from equipoise.fit.objectives import Supervised
from equipoise.fit.optimizers import Stepper
from equipoise.fit.together import Alone
from equipoise.networks.network import Network

CROSS_ENTROPY, BINARY, SQUARED, ABSOLUTE, HUBER = range(5)
"""Losses, numbered as in `native/chain.h`."""

DESCENT, HEAVY_BALL, NESTEROV, ADAM = range(4)
"""Optimisers, numbered as in `native/chain.h`."""

_DISTANCES = {"mse": SQUARED, "mae": ABSOLUTE, "huber": HUBER}
_OPTIMISERS = {
    "gradient-descent": DESCENT,
    "sgd": DESCENT,
    "momentum": HEAVY_BALL,
    "nesterov": NESTEROV,
    "adam": ADAM,
    "adamw": ADAM,
}
_AVERAGING = {"none": 0, "exponential": 1, "tail": 2}


def lower(job: Job, network: Network, stepper: Stepper, steps: Steps) -> PlanLane | str:
    """Return a plan lane for a training, or why its steps cannot be laid out.

    Args:
        job: The training.
        network: What is trained, on the CPU.
        stepper: Its optimiser.
        steps: The extension module.
    """
    if why := _refusal(job, stepper, steps):
        return why
    features, targets = job.feed.part.features, job.feed.part.targets
    if features is None or targets is None:
        return "features are not kept in memory"
    if features.dtype is not torch.float32 or not features.is_contiguous():
        return "features are not float32 without gaps"
    layers = layers_of(network.body, tuple(features.shape[1:]))
    if isinstance(layers, str):
        return layers
    recipe, kind = job.recipe, network.signature.task.kind
    loss, outputs = _loss(recipe, kind), layers[-1].outputs
    if why := _wrong_targets(loss, targets, outputs):
        return why
    largest = max(job.feed.sizes)
    memory = memory_of(layers, largest, largest * job.feed.accumulate)
    known = {id(parameter) for parameter in memory.parameters}
    if any(id(parameter) not in known for parameter in stepper.parameters):
        return "parameters outside the body are trained"
    weights = _class_weights(recipe, kind, targets, len(network.signature.task.classes))
    indexed = not targets.is_floating_point()
    numbers = (
        *(loss, recipe.label_smoothing, recipe.huber_delta),
        *(0 if weights is None else weights.data_ptr(), 1 if weights is None else weights.numel() // 2, indexed),
    )
    chain = steps.chain(
        largest, layer_numbers(memory), _parameter_numbers(memory, stepper), numbers, _rules(recipe, stepper)
    )
    moments = MOMENTS["adam" if _OPTIMISERS[recipe.optimizer] == ADAM else "sgd" if _momentum(stepper) else "plain"]
    every = recipe.vitals_every
    signs = None if every is None else Signs(chain, layers, memory.parameters, every)
    return PlanLane(chain, memory, moments, weights, signs)


def _refusal(job: Job, stepper: Stepper, steps: Steps) -> str:
    recipe = job.recipe
    if not steps.name:
        return "the extension module was not built"
    if job.feed.part.device.type != "cpu":
        return f"the network is on {job.feed.part.device.type}"
    if not isinstance(job.objective, Supervised):
        return "the loss is not one of scores and targets in float32"
    if recipe.optimizer not in _OPTIMISERS or len(stepper.parts) > 1:
        return f"the optimiser is {recipe.optimizer}"
    if recipe.augmentation:
        return "batches are augmented"
    if recipe.sharpness_radius:
        return "each step takes a second gradient"
    if recipe.checkpoint_activations:
        return "activations are computed twice to save memory"
    if not isinstance(job.together, Alone) or job.feed.piece is not None:
        return "several processes train the network"
    return ""


def _loss(recipe: Recipe, kind: TaskKind) -> int:
    """Return the number of the loss, or -1."""
    name = choose_loss(recipe, kind)
    if name in _DISTANCES and kind == "regression":
        return _DISTANCES[name]
    if name not in ("cross-entropy", "binary-cross-entropy"):
        return -1
    return {"binary": BINARY, "multilabel": BINARY, "multiclass": CROSS_ENTROPY}.get(kind, -1)


def _wrong_targets(loss: int, targets: Tensor, outputs: int) -> str:
    """Return why targets do not go with a loss; empty when they do."""
    if loss < 0:
        return "the loss is of another kind"
    if not targets.is_contiguous() or targets.dtype not in (torch.int64, torch.float32):
        return "targets are not int64 or float32 without gaps"
    if loss == CROSS_ENTROPY:
        fits = targets.dim() == 1 and not targets.is_floating_point()
        inside = fits and int(targets.min()) >= 0 and int(targets.max()) < outputs
        return "" if inside else "targets are not the numbers of classes"
    width = 1 if targets.dim() == 1 and loss == BINARY else targets.shape[-1] if targets.dim() == 2 else 0
    if width != outputs or (loss != BINARY and not targets.is_floating_point()):
        return "targets have another shape than scores"
    return ""


def _class_weights(recipe: Recipe, kind: TaskKind, targets: Tensor, classes: int) -> Tensor | None:
    if recipe.class_weights == "none":
        return None
    return balanced_weights(targets, kind, classes).contiguous()


def _momentum(stepper: Stepper) -> float:
    return float(stepper.parts[0].param_groups[0].get("momentum", 0.0))


def _parameter_numbers(memory: Memory, stepper: Stepper) -> tuple[tuple[float, ...], ...]:
    """Return the parameters as the kernel takes them; see `Parameter` in `native/chain.h`."""
    groups = stepper.parts[0].param_groups
    decays = {id(one): float(group["weight_decay"]) for group in groups for one in group["params"]}
    return tuple(
        (parameter.numel(), decays.get(id(parameter), 0.0), parameter.dim() >= 2, _place(gradient))
        for parameter, gradient in zip(memory.parameters, memory.gradients, strict=True)
    )


def _place(gradient: Tensor | None) -> int:
    return 0 if gradient is None else gradient.data_ptr()


def _rules(recipe: Recipe, stepper: Stepper) -> tuple[float, ...]:
    """Return the rules as the kernel takes them; see `Rules` in `native/chain.h`."""
    group = stepper.parts[0].param_groups[0]
    kind, momentum = _OPTIMISERS[recipe.optimizer], _momentum(stepper)
    if kind != ADAM and not momentum:
        kind = DESCENT
    beta1, beta2 = group.get("betas", (0.0, 0.0))
    return (
        *(kind, momentum, float(beta1), float(beta2), float(group.get("eps", 0.0))),
        *(recipe.l1, recipe.l2, recipe.max_grad_norm or 0.0),
        *(_AVERAGING[recipe.weight_averaging], recipe.averaging_decay),
    )
