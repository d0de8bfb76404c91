"""The choices that make a training, each with a sound alternative that can be put in its place alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from equipoise.examine.diagnosis.draft import (
    Draft,
    adam,
    balanced_loss,
    everything_trained,
    faster,
    input_scale,
    output_activation,
    standardised_inputs,
    standardised_targets,
    with_network,
    with_optimizer,
    with_output_activation,
    with_sound_head,
    with_sound_loss,
)
from equipoise.examine.probes.optimizers import held, with_options
from equipoise.examine.probes.task import labels_of
from equipoise.networks.calls import SQUASHING, Call
from equipoise.networks.surgery import (
    bare_layers,
    hidden_activations,
    reinitialised,
    widened,
    with_activation_after,
    with_dropout_at_most,
    with_hidden_activation,
)

Change = Callable[[Draft], Draft]

SOUND_BATCH = 32
SOUND_WIDTH = 64
HEAD = ("head", "output-activation", "loss")
"""Choices about what the network puts out and what the loss makes of it: both together, and each."""
FEW_STEPS = 400
"""A sound recipe takes at least so many steps."""


@dataclass(frozen=True, slots=True, eq=False)
class Aspect:
    """One choice of a training and what may replace it.

    Attributes:
        name: The choice.
        faults: What is wrong when the replacement cures, likeliest first, with a weight in (0, 1] each.
        where: Where it is.
        changes: Alternatives; each is tried on its own, and the first one belongs to the sound recipe.
        doubt: How unsound the present choice looks before anything is run, in [0, 1].
    """

    name: str
    faults: dict[str, float]
    where: str
    changes: tuple[Change, ...]
    doubt: float


def aspects(draft: Draft) -> tuple[Aspect, ...]:
    """Return the choices of a training that may be unsound, in the order in which a recipe applies them."""
    heard = draft.heard()
    found = (
        *_network_aspects(draft, heard),
        *_head_aspects(draft, heard),
        *_data_aspects(draft),
        *_loop_aspects(draft),
    )
    return tuple(one for one in found if one.doubt > 0)


def _network_aspects(draft: Draft, heard: tuple[Call, ...]) -> tuple[Aspect, ...]:
    network = draft.setup.network
    found: list[Aspect] = []
    bare = bare_layers(network, heard)
    if bare:
        found.append(
            Aspect(
                "hidden-activation",
                {"missing_activation": 1.0},
                f"layer:{bare[0]}",
                (lambda one: with_network(one, with_activation_after(one.setup.network, bare)),),
                0.8,
            )
        )
    hidden = hidden_activations(heard)
    squashing = [call for call in hidden if call.name in SQUASHING and call.is_module]
    if squashing:
        first = squashing[0].path
        found.append(
            Aspect(
                "squashing",
                {"vanishing_gradient": 1.0, "saturated_activation": 0.9},
                f"layer:{first}",
                (_rectified,),
                min(1.0, 0.2 * len(squashing)),
            )
        )
    narrow = _narrowest(draft, heard)
    if narrow is not None:
        layer, width = narrow
        found.append(
            Aspect("width", {"underfitting_capacity": 1.0}, f"layer:{layer}", (_wide,), 0.6 if width <= 4 else 0.3)
        )
    rates = dropout_rates(network)
    if rates and max(rates.values()) > 0.5:
        path = max(rates, key=lambda one: rates[one])
        found.append(
            Aspect("dropout", {"too_much_dropout": 1.0}, f"layer:{path}", (_less_dropout,), max(rates.values()))
        )
    doubt, path = weight_doubt(draft, heard)
    faults = {"bad_initialization": 1.0}
    found.append(Aspect("weights", faults, f"layer:{path}", (_new_weights,), doubt))
    return tuple(found)


def _rectified(draft: Draft) -> Draft:
    network = with_hidden_activation(draft.setup.network, draft.heard(), nn.ReLU)
    return _new_weights(with_network(draft, network))


def _new_weights(draft: Draft) -> Draft:
    generator = torch.Generator().manual_seed(0)
    return with_network(draft, reinitialised(draft.setup.network, draft.heard(), generator))


def _wide(draft: Draft) -> Draft:
    generator = torch.Generator().manual_seed(0)
    network = widened(draft.setup.network, draft.heard(), SOUND_WIDTH, generator)
    return draft if network is None else with_network(draft, network)


def _less_dropout(draft: Draft) -> Draft:
    return with_network(draft, with_dropout_at_most(draft.setup.network, 0.2))


def _narrowest(draft: Draft, heard: tuple[Call, ...]) -> tuple[str, int] | None:
    """Return path and width of the narrowest hidden linear layer, where it is narrow and can be widened."""
    paths = [call.path for call in heard if call.kind == "weights"][:-1]
    widths = {
        path: layer.out_features
        for path in paths
        if isinstance(layer := draft.setup.network.get_submodule(path), nn.Linear)
    }
    if not widths:
        return None
    path = min(widths, key=lambda one: widths[one])
    if widths[path] >= SOUND_WIDTH or widened(draft.setup.network, heard, SOUND_WIDTH, torch.Generator()) is None:
        return None
    return path, widths[path]


def dropout_rates(network: nn.Module) -> dict[str, float]:
    """Return the rate of every dropout module by its path."""
    return {
        path: rate
        for path, module in network.named_modules()
        if isinstance(rate := getattr(module, "p", None), float) and "Dropout" in type(module).__name__
    }


def weight_doubt(draft: Draft, heard: tuple[Call, ...]) -> tuple[float, str]:
    """Return how unusual the initial weights are, in [0, 1], and the layer where they are most so.

    Compared with the standard deviation of Glorot's draw: a factor of 3 to either side, or a mean that is a third of
    the deviation, is usual; a factor of 10 is not.
    """
    worst, path = 0.0, ""
    for call in heard:
        if call.kind != "weights":
            continue
        module = draft.setup.network.get_submodule(call.path)
        doubt = _bias_doubt(module)
        if doubt > worst:
            worst, path = doubt, call.path
        for name, weight in module.named_parameters():
            if weight.ndim < 2 or weight.numel() < 4:
                continue
            rest = weight[0][0].numel() if weight.ndim > 2 else 1
            usual = math.sqrt(2 / ((weight.shape[0] + weight.shape[1]) * rest))
            size = float(weight.detach().std())
            if "hh" in name:  # repeated at every step: a radius away from 1 grows or shrinks geometrically
                doubt = min(1.0, max(0.0, _radius_log(weight) - math.log(1.3)) / math.log(1.5))
            else:
                ratio = abs(math.log(max(size, 1e-12) / usual))
                lean = abs(float(weight.detach().mean())) / max(size, 1e-12) * math.sqrt(min(weight.numel(), 16) / 16)
                doubt = min(1.0, max(0.0, (ratio - math.log(2.5)) / math.log(4)) + max(0.0, lean - 0.5))
            if doubt > worst:
                worst, path = doubt, call.path
    return worst, path


def _bias_doubt(module: nn.Module) -> float:
    """Return how far the biases shift what a layer puts out for inputs of deviation 1, in [0, 1]."""
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if not isinstance(weight, torch.Tensor) or not isinstance(bias, torch.Tensor) or weight.ndim < 2:
        return 0.0
    reach = float(weight.detach().flatten(1).norm(dim=1).median())
    return min(1.0, max(0.0, abs(float(bias.detach().mean())) / max(reach, 1e-12) - 0.7))


def _radius_log(weight: torch.Tensor) -> float:
    """Return the log of the largest spectral radius among the gates of a recurrent weight."""
    blocks = weight.detach().double().chunk(max(1, weight.shape[0] // weight.shape[1]))
    return math.log(max(1e-12, max(float(torch.linalg.eigvals(one).abs().max()) for one in blocks)))


def _head_aspects(draft: Draft, heard: tuple[Call, ...]) -> tuple[Aspect, ...]:
    task = draft.judge.task
    if task.kind == "opaque":
        return ()
    now = output_activation(heard)
    layers = [call.path for call in heard if call.kind == "weights"]
    path = heard[-1].path if now and heard[-1].path else (layers[-1] if layers else "")
    options: dict[str, nn.Module | None] = {"": None}
    if task.categorical:
        options |= {"softmax": nn.Softmax(task.axis), "log_softmax": nn.LogSoftmax(task.axis)}
    elif task.kind in ("binary", "multilabel"):
        options |= {"sigmoid": nn.Sigmoid()}
    changes = tuple(
        partial(with_output_activation, activation=module) for name, module in options.items() if name != now
    )
    return (
        Aspect(
            "head",
            {"wrong_output_activation": 0.6, "loss_mismatch": 0.6, "double_softmax": 0.4},
            f"layer:{path}",
            (with_sound_head,),
            0.5,
        ),
        Aspect("output-activation", {"wrong_output_activation": 1.0}, f"layer:{path}", changes, 0.5 if changes else 0),
        Aspect("loss", {"loss_mismatch": 1.0}, "loss", (with_sound_loss,), 0.4),
    )


def _data_aspects(draft: Draft) -> tuple[Aspect, ...]:
    found: list[Aspect] = []
    inputs, targets = draft.setup.train
    if inputs.is_floating_point():
        found.append(Aspect("inputs", {"unscaled_input": 1.0}, "inputs", (standardised_inputs,), input_doubt(draft)))
    if draft.judge.task.kind == "values" and targets.is_floating_point():
        found.append(
            Aspect("targets", {"unscaled_target": 1.0}, "targets", (standardised_targets,), target_doubt(draft))
        )
    if (draft.judge.task.categorical or draft.judge.task.kind == "binary") and rarest_share(draft) < 0.15:
        found.append(
            Aspect("class-weights", {"class_imbalance": 1.0}, "targets", (balanced_loss,), 1 - 4 * rarest_share(draft))
        )
    return tuple(found)


def input_doubt(draft: Draft) -> float:
    """Return how far the inputs are from a common scale around zero, in [0, 1]."""
    inputs = draft.setup.train[0].detach().double()
    shift, scale = (one.double() for one in input_scale(inputs))
    alive = inputs.reshape(len(inputs), -1).std(0) > 0
    if shift.ndim == 0:
        worst = max(
            abs(math.log10(max(float(scale), 1e-9))) - 0.6, math.log10(max(float(shift.abs() / scale), 1)) - 0.6
        )
    else:
        used = scale[alive] if bool(alive.any()) else scale
        away = (shift.abs() / scale)[alive].max() if bool(alive.any()) else torch.tensor(0.0)
        spread = math.log10(float(used.max() / used.median().clamp_min(1e-12)))
        largest = abs(math.log10(float(used.max())))
        worst = max(largest - 0.3, spread - 0.7, math.log10(max(float(away), 1.0)) - 0.5)
    return float(min(1.0, max(0.0, worst)))


def target_doubt(draft: Draft) -> float:
    """Return how far regression targets are from the scale that a network puts out at first, in [0, 1]."""
    targets = draft.setup.train[1].detach().double().reshape(len(draft.setup.train[1]), -1)
    spread, middle = targets.std(0), targets.mean(0).abs()
    size = float(torch.maximum(spread, middle).max().clamp_min(1e-12))
    return float(min(1.0, max(0.0, abs(math.log10(size)) - 0.5)))


def rarest_share(draft: Draft) -> float:
    """Return the share of the rarest class among the training targets, times half the number of classes."""
    task = draft.judge.task
    labels = labels_of(task, draft.setup.train[1]).flatten()
    counts = torch.bincount(labels[labels >= 0], minlength=task.classes)
    return float(counts[counts > 0].min() / counts.sum()) * task.classes / 2 if len(labels) else 1.0


def _loop_aspects(draft: Draft) -> tuple[Aspect, ...]:
    setup = draft.setup
    steps = setup.epochs * math.ceil(len(setup.train[0]) / setup.batch_size)
    optimizer = draft.make_optimizer(setup.network.parameters())
    decay = max(float(group.get("weight_decay", 0.0) or 0.0) for group in optimizer.param_groups)
    holds = held(optimizer)
    untrained = any(one.requires_grad and id(one) not in holds for one in setup.network.parameters())
    found = [
        Aspect(
            "trained-parameters",
            {"parameters_not_updated": 1.0},
            "optimizer.params",
            (everything_trained,),
            0.5 if untrained else 0.0,
        ),
        Aspect("optimizer", {"wrong_optimizer": 1.0}, _optimizer_field(optimizer), (adam,), 0.4),
        Aspect(
            "rate-up", {"lr_too_low": 1.0}, "optimizer.lr", tuple(partial(faster, factor=f) for f in (10, 100)), 0.4
        ),
        Aspect(
            "rate-down",
            {"lr_too_high": 1.0},
            "optimizer.lr",
            tuple(partial(faster, factor=f) for f in (0.1, 0.01)),
            0.4,
        ),
    ]
    if decay > 1e-3:
        found.append(Aspect("decay", {"over_regularised": 1.0}, "optimizer.weight_decay", (_no_decay,), 0.8))
    if setup.batch_size < 8:
        doubt = 0.9 if setup.batch_size <= 2 else 0.6
        found.append(Aspect("batch", {"batch_size_too_small": 1.0}, "loop.batch_size", (_usual_batch,), doubt))
    if setup.batch_size > 2 * SOUND_BATCH and steps < FEW_STEPS:
        doubt = 0.9 if steps <= 2 * setup.epochs else 0.5
        found.append(Aspect("batch", {"batch_size_too_large": 1.0}, "loop.batch_size", (_usual_batch,), doubt))
    if not setup.shuffle:
        found.append(Aspect("order", {"no_shuffle": 1.0}, "loop.order", (_shuffled,), 0.7))
    # Last, since how many epochs are enough depends on the batch.
    return (*found, Aspect("epochs", {"too_few_epochs": 1.0}, "loop.epochs", (_longer,), 0.4))


def _optimizer_field(optimizer: torch.optim.Optimizer) -> str:
    floor = max(float(group.get("eps", 1e-8)) for group in optimizer.param_groups)
    return "optimizer.eps" if floor > 1e-4 else "optimizer.lr"


def _longer(draft: Draft) -> Draft:
    setup = draft.setup
    per_epoch = math.ceil(len(setup.train[0]) / setup.batch_size)
    enough = min(math.ceil(FEW_STEPS / per_epoch), 40 * setup.epochs)
    more = 4 if setup.epochs * per_epoch <= FEW_STEPS else 2
    epochs = max(more * setup.epochs, enough)
    return replace(draft, setup=replace(setup, epochs=epochs))


def _no_decay(draft: Draft) -> Draft:
    return with_optimizer(draft, with_options(draft.make_optimizer, lambda _: {"weight_decay": 0.0}))


def _usual_batch(draft: Draft) -> Draft:
    return replace(draft, setup=replace(draft.setup, batch_size=SOUND_BATCH))


def _shuffled(draft: Draft) -> Draft:
    return replace(draft, setup=replace(draft.setup, shuffle=True))
