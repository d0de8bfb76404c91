"""Watches a training by plain PyTorch, as the re-implemented tools need it: outputs by layer, gradients, epochs.

Nothing of Equipoise is in here: what these tools see must not depend on it. Watching draws nothing from the random
stream of the training, so that a watched run takes the same steps as one that is not.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from benchmarks.diagnosis_programs import Batch, Subject
from torch import Tensor, nn
from torch.optim import Optimizer

ACTIVATIONS = (
    "ReLU", "LeakyReLU", "PReLU", "ELU", "SELU", "GELU", "SiLU", "Mish", "CELU", "ReLU6", "Hardtanh", "Hardswish",
    "Softplus", "Sigmoid", "LogSigmoid", "Tanh", "Softmax", "LogSoftmax", "Softsign",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """One call of a layer in a forward pass.

    Attributes:
        name: Its path in `named_modules()`.
        kind: Its class, or the nearest parent class that PyTorch itself has.
        module: The layer.
        given: What it got.
        output: What it put out.
    """

    name: str
    kind: str
    module: nn.Module
    given: Tensor
    output: Tensor


def kind(module: nn.Module) -> str:
    """Return the name of the nearest class that PyTorch itself has, so that a subclass of `nn.Softmax` is a softmax."""
    return next((one.__name__ for one in type(module).__mro__ if one.__module__.startswith("torch.nn")), "Module")


@contextmanager
def aside(network: nn.Module, *, training: bool) -> Iterator[None]:
    """Look at a network in some mode; random state and every module's own mode are put back."""
    modes = {module: module.training for module in network.modules()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network.train(training)
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


def _first_tensor(value: object) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    return _first_tensor(value[0]) if isinstance(value, tuple | list) and value else None


def forward(network: nn.Module, inputs: Tensor, *, training: bool = False) -> list[Seen]:
    """Return the calls of the layers without children in a forward pass, in order."""
    calls: list[Seen] = []

    def heard(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Tensor, ...], output: object) -> None:
            got, put = _first_tensor(given), _first_tensor(output)
            if got is not None and put is not None:
                calls.append(Seen(name, kind(module), module, got, put.detach().clone()))

        return hook

    leaves = [(name, one) for name, one in network.named_modules() if name and not [*one.children()]]
    hooks = [one.register_forward_hook(heard(name)) for name, one in leaves]
    try:
        with torch.no_grad(), aside(network, training=training):
            network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def outputs(network: nn.Module, inputs: Tensor, *, training: bool = False) -> Tensor:
    """Return what the network puts out."""
    with torch.no_grad(), aside(network, training=training):
        put: Tensor = network(inputs)
        return put.detach().clone()


def gradients(given: Subject, network: nn.Module, batch: Batch, *, training: bool = False) -> dict[str, Tensor]:
    """Return the gradient of the loss on a batch by the name of the parameter; zeros where none arrives."""
    named = {name: one for name, one in network.named_parameters() if one.requires_grad}
    with torch.enable_grad(), aside(network, training=training):
        loss = given.loss(network(batch[0]), batch[1])
        found = torch.autograd.grad(loss, [*named.values()], allow_unused=True)
    return {
        name: torch.zeros_like(one) if value is None else value.detach()
        for (name, one), value in zip(named.items(), found, strict=True)
    }


def loss_on(given: Subject, network: nn.Module, batch: Batch, *, training: bool = False) -> float:
    """Return the loss on a batch, in eval mode unless told otherwise."""
    return loss_of(given, outputs(network, batch[0], training=training), batch[1])


def loss_of(given: Subject, put: Tensor, targets: Tensor) -> float:
    """Return the loss of outputs; not a number where the loss cannot be taken of so many."""
    try:
        return float(given.loss(put, targets))
    except (RuntimeError, ValueError, IndexError):
        return float("nan")


def classifies(targets: Tensor) -> bool:
    """Return whether targets are classes: integers, or nothing but zeros and ones."""
    return not targets.is_floating_point() or bool(((targets == 0) | (targets == 1)).all())


def takes_logits(loss_name: str) -> bool:
    """Return whether a loss says that it takes logits."""
    return "logits" in loss_name


def accuracy(put: Tensor, targets: Tensor, loss_name: str) -> float:
    """Return what Keras calls `accuracy` for outputs and targets of these shapes."""
    threshold = 0.0 if takes_logits(loss_name) else 0.5
    if put.dim() > 1 and put.shape[-1] > 1:
        if targets.shape == put.shape:
            one_hot = bool((targets.sum(-1) == 1).all())
            if one_hot and "binary" not in loss_name:
                return float((put.argmax(-1) == targets.argmax(-1)).float().mean())
            return float(((put > threshold) == (targets > 0.5)).float().mean())
        return float((put.argmax(-1) == targets.reshape(len(put)).long()).float().mean())
    return float(((put.reshape(len(put)) > threshold) == (targets.reshape(len(put)) > 0.5)).float().mean())


@dataclass(slots=True, eq=False)
class Loop:
    """The loop of a training: the subject's own, or the plain one on copies."""

    given: Subject
    network: nn.Module
    optimizer: Optimizer

    def step(self, batch: Batch) -> float:
        """Take one step and return its loss."""
        if self.given.step is not None:
            return float(self.given.step(self.network, self.optimizer, batch))
        self.optimizer.zero_grad()
        loss = self.given.loss(self.network(batch[0]), batch[1])
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def evaluate(self, inputs: Tensor) -> Tensor:
        """Return outputs as the training's own evaluation makes them."""
        if self.given.evaluate is None:
            return outputs(self.network, inputs)
        with torch.no_grad(), aside(self.network, training=self.network.training):
            return self.given.evaluate(self.network, inputs)


def begun(given: Subject) -> Loop:
    """Return a fresh start of the training's loop."""
    if given.begin is not None:
        return Loop(given, *given.begin())
    return Loop(given, *copy.deepcopy((given.network, given.optimizer)))


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """What a callback is told at the end of an epoch.

    Attributes:
        epoch: Counted from 0.
        loss, accuracy: Means over the batches as they were trained on.
        validation_loss, validation_accuracy: On validation data; on training data where there are none.
    """

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float


def train(given: Subject, at_end: Callable[[EpochEnd, Loop], bool]) -> None:
    """Run the training's own loop and call `at_end` after every epoch; a true answer ends it."""
    generator = torch.Generator().manual_seed(given.seed + 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.seed + 1)
        loop = begun(given)
        for epoch in range(given.epochs):
            if at_end(_epoch(given, loop, epoch, generator), loop):
                return


def _epoch(given: Subject, loop: Loop, epoch: int, generator: torch.Generator) -> EpochEnd:
    n = len(given.train[0])
    order = torch.randperm(n, generator=generator) if given.shuffle else torch.arange(n)
    losses, scores, sizes = [], [], []
    put: list[Tensor] = []
    hook = loop.network.register_forward_hook(lambda _, __, output: put.append(output.detach()))
    try:
        for rows in order.split(given.batch_size):
            put.clear()
            losses.append(loop.step((given.train[0][rows], given.train[1][rows])))
            scores.append(accuracy(put[-1], given.train[1][rows], given.loss_name) if put else float("nan"))
            sizes.append(len(rows))
    finally:
        hook.remove()
    inputs, targets = given.validation if given.validation is not None else given.train
    held = loop.evaluate(inputs)
    weights = np.array(sizes) / n
    return EpochEnd(
        epoch,
        float(np.dot(losses, weights)),
        float(np.dot(scores, weights)),
        loss_of(given, held, targets),
        accuracy(held, targets, given.loss_name),
    )


def layer_of(parameter: str) -> str:
    """Return the place of the layer that a parameter belongs to."""
    return f"layer:{parameter.rpartition('.')[0]}"


def rate(optimizer: Optimizer) -> float:
    """Return the learning rate of the first group."""
    return float(optimizer.param_groups[0].get("lr", float("nan")))
