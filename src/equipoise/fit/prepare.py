"""Puts together what the loop needs."""

import math

import torch
from torch import Tensor

from equipoise.core.plan import Plan
from equipoise.core.progress import Listener
from equipoise.core.recipe import Recipe
from equipoise.data.augment import check_augmentation
from equipoise.data.samples import Splits
from equipoise.fit.announcer import Announcer
from equipoise.fit.averaging import TAIL_SHARE, Average
from equipoise.fit.feed import make_feed, make_part, targets_on_scale
from equipoise.fit.finish import check_finish
from equipoise.fit.fitted import Execution
from equipoise.fit.governor import Governor
from equipoise.fit.job import Job
from equipoise.fit.keeper import Keeper
from equipoise.fit.losses import balanced_weights, choose_loss
from equipoise.fit.objectives import HalfPrecision, build_objective
from equipoise.fit.optimizers import Stepper, weights_of
from equipoise.fit.recorder import SLOTS, Recorder
from equipoise.fit.sampling import check_sampling, class_chances
from equipoise.fit.seeds import derive
from equipoise.fit.state import State
from equipoise.fit.stopping import Kept, copies, round_epochs
from equipoise.fit.validation import Validation, all_targets
from equipoise.networks.layers import layer_table
from equipoise.networks.network import Network
from equipoise.stats.metrics import score_name
from equipoise.vitals.history import History


def check_plan(plan: Plan, network: Network) -> None:
    """Refuse, before anything is trained, what cannot work.

    Raises:
        ValueError: Loss, label smoothing, class weights, augmentation, averaging or finishing steps do not suit the
            task, the inputs or the optimiser.
    """
    signature, recipe = network.signature, plan.recipe
    choose_loss(recipe, signature.task.kind)
    check_sampling(recipe, signature.task)
    check_augmentation(recipe.augmentation, signature.inputs, signature.task)
    check_finish(plan.finish, network)
    if recipe.optimizer == "schedule-free" and recipe.weight_averaging != "none":
        raise ValueError(
            f"recipe.weight_averaging: got {recipe.weight_averaging!r} with optimizer 'schedule-free', which averages "
            "by itself; expected 'none'. Leave it out or use 'adamw'."
        )


def prepare_job(
    plan: Plan,
    seed: int,
    splits: Splits,
    network: Network,
    stepper: Stepper,
    execution: Execution,
    keeper: Keeper | None,
    on_progress: Listener,
) -> Job:
    """Return what stays as it is while the network, laid out on its device, is trained."""
    recipe, task, device = plan.recipe, network.signature.task, torch.device(execution.device)
    prepare = targets_on_scale(network)
    training = make_part(splits.train, network, prepare, device, keep=not recipe.augmentation)
    chances = class_chances(all_targets(splits.train)) if recipe.class_sampling != "none" else None
    feed = make_feed(training, recipe, network, seed, chances)
    if min(feed.sizes) == 1:
        _check_single(network, splits.train.batch(torch.zeros(1, dtype=torch.int64))[0].to(device), len(splits.train))
    objective = build_objective(recipe, task.kind, network.body, class_weights(recipe, network, splits, device))
    validation = Validation(
        part=make_part(splits.validation, network, prepare, device, keep=True),
        truth=all_targets(splits.validation).numpy(),
        network=network,
        objective=objective,
        seed=seed,
    )
    if recipe.sharpness_radius and feed.accumulate > 1:
        raise ValueError(
            f"recipe.sharpness_radius: got {recipe.sharpness_radius:g} with {feed.accumulate} batches to a step; "
            "expected 0, since the step uphill is that of one batch. Set it to 0, or `recipe.accumulate` to 1."
        )
    total = recipe.epochs * feed.steps_per_epoch
    score = "explained variance" if task.kind == "clustering" else score_name(task)
    return Job(
        recipe=recipe,
        seed=seed,
        feed=feed,
        objective=HalfPrecision(objective, device.type) if execution.precision == "bfloat16" else objective,
        weights=tuple(weights_of(stepper.parameters)),
        validation=validation,
        round_epochs=round_epochs(recipe, feed.steps_per_epoch),
        total_steps=total,
        sample_every=max(1, min(16, total // 64)),
        keeper=keeper,
        announcer=Announcer(on_progress, score, recipe.epochs, total),
    )


def _check_single(network: Network, sample: Tensor, samples: int) -> None:
    """Refuse a step on one sample where a batch norm sees a single value of a unit: it has no variance."""
    for layer in layer_table(network, sample):
        if layer.kind.startswith("BatchNorm") and math.prod(layer.output_shape[1:]) == 1:
            raise ValueError(
                f"recipe.batch_size: got batches of one sample ({samples} training samples) and the batch norm "
                f"{layer.path}; expected at least two to a batch. Raise `recipe.batch_size`, or normalise by layer."
            )


def prepare_state(recipe: Recipe, network: Network, stepper: Stepper, job: Job) -> State:
    """Return the state of a training before its first step."""
    device = job.validation.part.device
    average = None
    if recipe.weight_averaging != "none":
        start = round(job.total_steps * (1 - TAIL_SHARE)) if recipe.weight_averaging == "tail" else 0
        average = Average(recipe.weight_averaging, stepper.parameters, recipe.averaging_decay, start)
    governor = None
    if recipe.governor:
        seed = derive(job.seed, "governor")
        governor = Governor(
            network,
            stepper.parts,
            parameters=stepper.parameters,
            body=network.body,
            average=average,
            seed=seed,
            descends=network.signature.task.kind != "generation",
            together=job.together,
        )
    return State(
        network=network,
        stepper=stepper,
        average=average,
        recorder=Recorder(
            History(), torch.zeros(SLOTS, device=device), listened=governor is not None, together=job.together
        ),
        draws=torch.Generator(device),
        kept=Kept(copies(network)),
        governor=governor,
    )


def class_weights(recipe: Recipe, network: Network, splits: Splits, device: torch.device) -> Tensor | None:
    """Return the weights of the classes, as `balanced_weights` gives them, or None without any."""
    if recipe.class_weights == "none":
        return None
    task = network.signature.task
    return balanced_weights(all_targets(splits.train), task.kind, len(task.classes)).to(device)
