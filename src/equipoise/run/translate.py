"""A training of one's own as a plan: its data, its network and its recipe in the words of the house."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from equipoise.core.data_plan import GivenData, Split
from equipoise.core.network_plan import DenseNetwork
from equipoise.core.plan import Plan
from equipoise.core.recipe import Recipe
from equipoise.core.signature import TaskKind
from equipoise.data.given import splits_from
from equipoise.data.samples import Splits
from equipoise.examine.probes.setup import Batch, Setup
from equipoise.examine.probes.task import Task, labels_of
from equipoise.networks.network import Network, answers
from equipoise.networks.recognise import recognise

VALIDATION, FEW_VALIDATION, FEW = 0.15, 0.3, 200
"""Share of the training rows that decide, and the share where there are few of them."""

HIGHEST_RATE = 1.0
LOWEST_RATE = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Translation:
    """A training of one's own in the words of the house.

    Attributes:
        plan: The network that is recognised and the recipe as it is, on the given data.
        task: What the targets ask for, as the diagnosis reads them.
        kind: The same in the words of a plan.
        setup: The training.
    """

    plan: Plan
    task: Task
    kind: TaskKind
    setup: Setup

    def splits(self, seed: int) -> Splits:
        """Return the rows of the training divided for one seed; the held-out rows of its user are the test part.

        Raises:
            ValueError: The data room cannot take them.
        """
        data: dict[str, Any] = {"train": self._pair(self.setup.train)}
        if self.setup.validation is not None:
            data["test"] = self._pair(self.setup.validation)
        split = self.plan.data.split
        return splits_from(data, task=self.kind, split=split, seed=seed)

    def rows_of(self, splits: Splits, part: str) -> Batch:
        """Return inputs and targets of a part as the user's loop takes them; `train` or `validation`."""
        rows = torch.from_numpy(splits.rows[part])
        inputs, targets = self.setup.train
        return inputs[rows], targets[rows]

    def outputs(self, network: Network, inputs: Tensor) -> Tensor:
        """Return what a network of the plan answers, in the layout that the targets of the training have.

        Probabilities (n, classes) in the order of the user's class numbers, (n, 1) for yes or no, (n, labels), or
        quantities (n, columns).
        """
        answer = answers(network, inputs.float())
        if self.kind not in ("binary", "multiclass"):
            return answer
        if self.task.kind == "binary":
            return answer[:, 1:]
        columns = [int(float(name)) for name in network.signature.task.classes]
        wide = answer.new_zeros(len(answer), max(self.task.classes, *(one + 1 for one in columns)))
        wide[:, columns] = answer
        return wide

    def _pair(self, data: Batch) -> tuple[np.ndarray, np.ndarray]:
        inputs, targets = data
        return inputs.detach().numpy(), told(self.task, targets)


def told(task: Task, targets: Tensor) -> np.ndarray:
    """Return targets as the data room takes them: class numbers (n,), 0 and 1 (n, labels), or values (n, columns)."""
    if task.categorical or task.kind == "binary":
        return labels_of(task, targets)[:, 0].numpy()
    values = targets.detach().reshape(len(targets), -1)
    if task.kind == "multilabel":
        return (values > task.middle).to(torch.int64).numpy()
    return values.double().numpy()


def translate(setup: Setup, task: Task, optimizer: Optimizer | None) -> Translation:
    """Return a training of one's own as a plan.

    Args:
        setup: The training.
        task: What its targets ask for.
        optimizer: Its optimiser, or None where it has one that no plan can name.

    Raises:
        ValueError: Its targets are something that no plan can say.
    """
    kind = _kind(task, setup.train[1])
    n = len(setup.train[0])
    share = VALIDATION if n >= FEW else FEW_VALIDATION
    data = GivenData(split=Split(validation=share, test=0.1), task=kind)
    network = recognise(setup.network) or DenseNetwork()
    recipe = Recipe(batch_size=min(setup.batch_size, n), epochs=setup.epochs, patience=None, **_stepping(optimizer))
    plan = Plan(name="own-training", data=data, network=network, recipe=recipe)
    return Translation(plan, task, kind, setup)


def _kind(task: Task, targets: Tensor) -> TaskKind:
    positions = labels_of(task, targets).shape[1] if task.categorical or task.kind == "binary" else 1
    if task.kind == "opaque" or positions != 1:
        raise ValueError(
            f"got targets of shape {tuple(targets.shape)} that only their own loss can read; expected one class, some "
            "labels or some values a sample. Treat the training by hand, as its diagnosis advises."
        )
    if task.kind == "multilabel":
        return "multilabel"
    if task.kind == "values":
        return "regression"
    return "binary" if len(labels_of(task, targets).unique()) == 2 else "multiclass"


def _stepping(optimizer: Optimizer | None) -> dict[str, Any]:
    """Return the part of a recipe that says how it steps."""
    if optimizer is None:
        return {}
    options = optimizer.param_groups[0]
    rate = float(np.clip(float(options.get("lr", 1e-3)), LOWEST_RATE, HIGHEST_RATE))
    if isinstance(optimizer, torch.optim.SGD):
        momentum = float(options["momentum"])
        name = "sgd" if not momentum else "nesterov" if options["nesterov"] else "momentum"
        return {"optimizer": name, "learning_rate": rate} | ({"momentum": momentum} if momentum else {})
    if isinstance(optimizer, torch.optim.RMSprop):
        return {"optimizer": "rmsprop", "learning_rate": rate}
    name = "adamw" if isinstance(optimizer, torch.optim.AdamW) else "adam"
    return {"optimizer": name, "learning_rate": rate}
