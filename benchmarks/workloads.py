"""The workloads of `bars.toml`: networks, data from a seed, and the plain loop that everything is measured against."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from equipoise.core.data_plan import GivenData
from equipoise.core.network_plan import (
    ConvolutionalNetwork,
    DenseNetwork,
    NetworkPlan,
    RecurrentNetwork,
    ResidualNetwork,
)
from equipoise.core.plan import Plan
from equipoise.core.preprocessing import ArrayNumbers, ImageNumbers, Preprocessing
from equipoise.core.recipe import Recipe
from equipoise.core.signature import ArrayInput, ImageInput, InputSpec, Signature, Task
from equipoise.data.samples import Splits, TensorSamples

BARS = Path(__file__).with_name("bars.toml")


@dataclass(frozen=True)
class Workload:
    """One row of `bars.toml`.

    Attributes:
        name: Its key, such as `w2`.
        samples, batch_size: Size of the data and of a batch; an epoch is `samples // batch_size` steps.
        epochs_a_turn: Epochs that a contender trains before it hands the turn on.
        threads: Cores that every contender gets.
        rounds: How many turns each contender takes.
        faster_than: Contenders that Equipoise must beat here.
    """

    name: str
    title: str
    samples: int
    batch_size: int
    epochs_a_turn: int
    threads: int
    rounds: int
    faster_than: tuple[str, ...]

    @property
    def steps_a_turn(self) -> int:
        """Optimiser steps in one turn."""
        return self.epochs_a_turn * (self.samples // self.batch_size)


def workloads() -> dict[str, Workload]:
    """Return the workloads of `bars.toml` by name."""
    bars = tomllib.loads(BARS.read_text(encoding="utf-8"))
    rounds = bars["measurement"]["rounds"]
    return {
        name: Workload(
            name=name,
            title=row["title"],
            samples=row["samples"],
            batch_size=row["batch_size"],
            epochs_a_turn=row["epochs_a_turn"],
            threads=row["threads"],
            rounds=row.get("rounds", rounds),
            faster_than=tuple(row["faster_than"]),
        )
        for name, row in bars["workloads"].items()
    }


class ReadLast(nn.Module):
    """A recurrent layer and a dense layer on its last state: (n, steps, 16) to (n, 10)."""

    def __init__(self, recurrent: nn.Module) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.dense = nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits."""
        return self.dense(self.recurrent(inputs)[0][:, -1])


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation and a shortcut (He et al., CVPR 2016)."""

    def __init__(self, incoming: int, outgoing: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(incoming, outgoing, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outgoing)
        self.second = nn.Conv2d(outgoing, outgoing, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outgoing)
        self.shortcut = nn.Sequential()
        if stride != 1 or incoming != outgoing:
            self.shortcut = nn.Sequential(
                nn.Conv2d(incoming, outgoing, 1, stride, bias=False), nn.BatchNorm2d(outgoing)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return features."""
        hidden = functional.relu(self.first_norm(self.first(inputs)))
        return functional.relu(self.second_norm(self.second(hidden)) + self.shortcut(inputs))


def xor_network() -> nn.Module:
    """Return w1: dense 2-4-1."""
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))


def dense_network() -> nn.Module:
    """Return w2: dense 784-32-10."""
    return nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def convolutional_network() -> nn.Module:
    """Return w3: three convolutions and two dense layers."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


def lstm_network() -> nn.Module:
    """Return w4: an LSTM."""
    return ReadLast(nn.LSTM(16, 64, batch_first=True))


def gru_network() -> nn.Module:
    """Return w4-gru: a GRU."""
    return ReadLast(nn.GRU(16, 64, batch_first=True))


def residual_network() -> nn.Module:
    """Return w5: ResNet-18 in its CIFAR form."""
    widths = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
    blocks = [
        block
        for incoming, outgoing, stride in widths
        for block in (ResidualBlock(incoming, outgoing, stride), ResidualBlock(outgoing, outgoing, 1))
    ]
    stem = (nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "w1": xor_network,
    "w2": dense_network,
    "w3": convolutional_network,
    "w4": lstm_network,
    "w4-gru": gru_network,
    "w5": residual_network,
}

SHAPES: dict[str, tuple[int, ...]] = {
    "w1": (2,),
    "w2": (784,),
    "w3": (1, 28, 28),
    "w4": (50, 16),
    "w4-gru": (50, 16),
    "w5": (3, 32, 32),
}

FAMILIES: dict[str, NetworkPlan] = {
    "w1": DenseNetwork(hidden=(4,), activation="tanh"),
    "w2": DenseNetwork(hidden=(32,)),
    "w3": ConvolutionalNetwork(channels=(32, 64, 64), hidden=(64,)),
    "w4": RecurrentNetwork(cell="lstm", hidden=(64,)),
    "w4-gru": RecurrentNetwork(cell="gru", hidden=(64,)),
    "w5": ResidualNetwork(channels=(64, 128, 256, 512), blocks=2),
}
"""The plan that gives Equipoise the same layers; a test compares them parameter by parameter."""

JUDGED = 32
"""Samples of Equipoise's validation part at most."""


def network(workload: Workload, *, seed: int = 0) -> nn.Module:
    """Return the workload's network, with weights from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[workload.name]()


def data(workload: Workload, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return inputs (samples, ...) and targets: int64 (samples,), for w1 float32 (samples, 1)."""
    if workload.name == "w1":
        rows = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        return rows, (rows.sum(1, keepdim=True) == 1).float()
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(workload.samples, *SHAPES[workload.name], generator=generator)
    return inputs, torch.randint(10, (workload.samples,), generator=generator)


def loss_function(workload: Workload) -> nn.Module:
    """Return the workload's loss."""
    return nn.BCEWithLogitsLoss() if workload.name == "w1" else nn.CrossEntropyLoss()


def plain_loop(workload: Workload, *, epoch_ended: Callable[[], bool], seed: int = 0) -> nn.Module:
    """Train as PyTorch's tutorials do, until `epoch_ended` says stop, and return the network: the baseline."""
    torch.manual_seed(seed)
    inputs, targets = data(workload)
    module = network(workload)
    criterion = loss_function(workload)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    while True:
        for index in torch.randperm(len(inputs)).split(workload.batch_size):
            loss = criterion(module(inputs[index]), targets[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch_ended():
            return module


def plan_and_splits(workload: Workload, *, epochs: int) -> tuple[Plan, Splits]:
    """Return the workload as Equipoise takes it: the same data in memory, the same Adam, the same batches."""
    inputs, targets = data(workload)
    if workload.name == "w1":
        targets = targets[:, 0].long()
        task = Task(kind="binary", classes=("0", "1"))
    else:
        task = Task(kind="multiclass", classes=tuple("0123456789"))
    spec, numbers = _spec(workload)
    train = TensorSamples(inputs, targets)
    few = TensorSamples(inputs[:JUDGED], targets[:JUDGED])
    splits = Splits(
        name=workload.name,
        train=train,
        validation=few,
        test=few,
        signature=Signature(inputs=spec, task=task),
        preprocessing=numbers,
        rows={part: np.arange(n) for part, n in (("train", len(train)), ("validation", len(few)), ("test", len(few)))},
        notes=(),
        digest="",
    )
    recipe = Recipe(learning_rate=1e-3, batch_size=workload.batch_size, epochs=epochs, threads=workload.threads)
    return Plan(name=workload.name, data=GivenData(), network=FAMILIES[workload.name], recipe=recipe), splits


def _spec(workload: Workload) -> tuple[InputSpec, Preprocessing]:
    """Return what the inputs are, and the numbers that standardise them: they are standard already."""
    shape = SHAPES[workload.name]
    if len(shape) == 3:
        channels, height, width = shape
        numbers = ImageNumbers(mean=(0.0,) * channels, scale=(1.0,) * channels)
        spec = ImageInput(channels=channels, height=height, width=width, low=-6.0, high=6.0)
        return spec, Preprocessing(inputs=numbers)
    array = ArrayInput(shape=shape, axes="features" if len(shape) == 1 else "steps,features")
    return array, Preprocessing(inputs=ArrayNumbers(mean=(0.0,) * shape[-1], scale=(1.0,) * shape[-1]))
