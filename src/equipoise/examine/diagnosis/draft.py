"""A training being rewritten, one aspect at a time: pure changes that give a new draft."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from equipoise.examine.diagnosis.judge import Judge, evaluated
from equipoise.examine.diagnosis.scoring import threshold
from equipoise.examine.probes.optimizers import MakeOptimizer, for_all, for_the_same, with_rate
from equipoise.examine.probes.setup import Batch, Loss, Setup
from equipoise.examine.probes.task import Task, canonical, labels_of
from equipoise.networks.calls import Call, calls
from equipoise.networks.surgery import with_modules, without_output_activation

MANY_COLUMNS = 50
"""Tables wider than this with columns of one range are taken for flattened pictures and scaled as one."""


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A training with a plain loop, and how it is judged.

    Attributes:
        setup: The training; `optimizer` makes optimisers.
        judge: How it is judged.
    """

    setup: Setup
    judge: Judge

    @property
    def make_optimizer(self) -> MakeOptimizer:
        """The function that makes its optimiser."""
        made = self.setup.optimizer
        if isinstance(made, Optimizer):
            raise TypeError("got an optimiser; expected a function that makes one. Wrap it with `optimizer_like`.")
        return made

    def heard(self) -> tuple[Call, ...]:
        """Return the calls of a forward pass."""
        return calls(self.setup.network, self.setup.train[0][:4].clone())

    def outputs(self) -> Tensor:
        """Return what the network puts out for a few training rows."""
        return evaluated(self.setup.network, self.setup.train[0][:64])


def with_network(draft: Draft, network: nn.Module) -> Draft:
    """Return the draft with another network."""
    return replace(draft, setup=replace(draft.setup, network=network))


def with_optimizer(draft: Draft, make: MakeOptimizer) -> Draft:
    """Return the draft with another optimiser."""
    return replace(draft, setup=replace(draft.setup, optimizer=make))


def with_loss(draft: Draft, loss: Loss) -> Draft:
    """Return the draft with another loss; answers are cut where that loss is undecided."""
    few = draft.setup.train[1][:64]
    cut = threshold(loss, draft.outputs()[: len(few)], few, draft.judge.task)
    return replace(draft, setup=replace(draft.setup, loss=loss), judge=replace(draft.judge, cut=cut))


def faster(draft: Draft, factor: float) -> Draft:
    """Return the draft with a learning rate `factor` times as large."""
    return with_optimizer(draft, with_rate(draft.make_optimizer, factor))


def adam(draft: Draft) -> Draft:
    """Return the draft with Adam at its usual constants, for the parameters that its optimiser holds."""
    return with_optimizer(draft, for_the_same(draft.make_optimizer, partial(torch.optim.Adam, lr=1e-3)))


def everything_trained(draft: Draft) -> Draft:
    """Return the draft whose optimiser holds all of the network's parameters."""
    return with_optimizer(draft, for_all(draft.make_optimizer))


def standardised_inputs(draft: Draft) -> Draft:
    """Return the draft with inputs of mean 0 and deviation 1, as measured on the training part."""
    shift, scale = input_scale(draft.setup.train[0])

    def scaled(data: Batch) -> Batch:
        return (data[0] - shift) / scale, data[1]

    held = draft.setup.validation
    setup = replace(draft.setup, train=scaled(draft.setup.train), validation=None if held is None else scaled(held))
    return replace(draft, setup=setup, judge=replace(draft.judge, data=scaled(draft.judge.data)))


def input_scale(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shift and scale of inputs: by column for a table, as one for anything that is all of one kind."""
    whole = inputs.detach()
    if whole.ndim == 2:
        deviation = whole.std(0)
        alive = deviation[deviation > 0]
        high = whole.abs().amax(0)
        alike = len(alive) > 0 and bool(high.max() <= 4 * high[deviation > 0].median())
        if not (whole.shape[1] > MANY_COLUMNS and alike):
            return whole.mean(0), torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    return whole.mean(), whole.std().clamp_min(1e-12)


def standardised_targets(draft: Draft) -> Draft:
    """Return the draft with regression targets of mean 0 and deviation 1; it is judged in the old unit."""
    targets = draft.setup.train[1]
    shift, scale = targets.mean(0), targets.std(0).clamp_min(1e-12)
    before = draft.judge.decode

    def scaled(data: Batch) -> Batch:
        return data[0], (data[1] - shift) / scale

    def decode(outputs: Tensor) -> Tensor:
        flat = outputs.reshape(len(outputs), -1) if outputs.ndim != targets.ndim else outputs
        return before(flat * scale + shift if targets.ndim > 1 else flat.reshape(-1) * scale + shift)

    held = draft.setup.validation
    setup = replace(draft.setup, train=scaled(draft.setup.train), validation=None if held is None else scaled(held))
    return replace(draft, setup=setup, judge=replace(draft.judge, decode=decode))


def with_output_activation(draft: Draft, activation: nn.Module | None) -> Draft:
    """Return the draft whose network ends in another activation, or in none; the loss stays."""
    network = without_output_activation(draft.setup.network, draft.heard()) or draft.setup.network
    changed = with_network(draft, network if activation is None else nn.Sequential(network, activation))
    return with_loss(changed, changed.setup.loss)


def with_sound_loss(draft: Draft) -> Draft:
    """Return the draft with the loss that suits its task and what its network puts out."""
    return with_loss(draft, sound_loss(draft.judge.task, output_activation(draft.heard())))


def with_sound_head(draft: Draft) -> Draft:
    """Return the draft whose network puts out scores without an activation, under the loss that takes them."""
    task = draft.judge.task
    changed = with_network(draft, without_output_activation(draft.setup.network, draft.heard()) or draft.setup.network)
    if task.categorical and canonical(task, changed.outputs()).shape[2] < task.classes:
        changed = with_network(changed, _wider_output(changed, task.classes))
    return with_loss(changed, sound_loss(task, ""))


def _wider_output(draft: Draft, width: int) -> nn.Module:
    last = [call.path for call in draft.heard() if call.kind == "weights"][-1]
    layer = draft.setup.network.get_submodule(last)
    if not isinstance(layer, nn.Linear):
        return draft.setup.network
    return with_modules(draft.setup.network, {last: nn.Linear(layer.in_features, width)})


def output_activation(heard: Iterable[Call]) -> str:
    """Return the name of the activation that makes the output, or an empty string."""
    last = tuple(heard)[-1:]
    return last[0].name if last and last[0].kind == "activation" and last[0].is_output else ""


def sound_loss(task: Task, activation: str) -> Loss:
    """Return the loss that suits a task, for outputs behind an activation."""
    if task.categorical:
        return partial(_class_loss, task, activation)
    if task.kind in ("binary", "multilabel"):
        return partial(_yes_or_no_loss, task, activation)
    return _squared_error


def _class_loss(task: Task, activation: str, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    labels = labels_of(task, targets).flatten()
    scores = canonical(task, outputs).flatten(0, 1)
    if activation == "log_softmax":
        return functional.nll_loss(scores, labels, weights, ignore_index=-1)
    if activation in ("softmax", "sigmoid"):
        return functional.nll_loss(scores.clamp_min(1e-7).log(), labels, weights, ignore_index=-1)
    return functional.cross_entropy(scores, labels, weights, ignore_index=-1)


def _yes_or_no_loss(
    task: Task, activation: str, outputs: Tensor, targets: Tensor, weight: Tensor | None = None
) -> Tensor:
    wanted = (targets > task.middle).reshape(outputs.shape).to(outputs.dtype)
    if activation in ("softmax", "sigmoid"):
        return functional.binary_cross_entropy(outputs.clamp(1e-7, 1 - 1e-7), wanted, weight)
    return functional.binary_cross_entropy_with_logits(outputs, wanted, weight)


def _squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets.reshape(outputs.shape).to(outputs.dtype)).square().mean()


def balanced_loss(draft: Draft) -> Draft:
    """Return the draft with a loss that weighs every class alike."""
    task = draft.judge.task
    labels = labels_of(task, draft.setup.train[1]).flatten()
    labels = labels[labels >= 0]
    weights = len(labels) / torch.bincount(labels, minlength=task.classes).clamp_min(1) / task.classes
    changed = with_sound_head(draft)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if task.kind == "binary":
            picked = weights.to(outputs)[labels_of(task, targets)].reshape(outputs.shape)
            return _yes_or_no_loss(task, "", outputs, targets, picked)
        return _class_loss(task, "", outputs, targets, weights.to(outputs))

    return replace(changed, setup=replace(changed.setup, loss=loss))
