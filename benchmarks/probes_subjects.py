"""Healthy trainings of many kinds, each drawn afresh for a seed, that probes before the first step must let pass."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from equipoise.examine.probes.setup import Batch, Setup

N = 400


def table(seed: int, classes: int = 3, columns: int = 8, n: int = N, spread: float = 1.0) -> tuple[Batch, Batch]:
    """Return standardised clusters, two a class, for training and validation."""
    rng = np.random.default_rng(seed)
    centres = 2.0 * rng.standard_normal((2 * classes, columns))
    kind = rng.integers(0, 2 * classes, 2 * n)
    x = centres[kind] + spread * rng.standard_normal((2 * n, columns))
    x = (x - x[:n].mean(0)) / x[:n].std(0)
    return _halves(torch.tensor(x, dtype=torch.float32), torch.tensor(kind % classes), n)


def quantities(seed: int, columns: int = 6, targets: int = 1, n: int = N) -> tuple[Batch, Batch]:
    """Return standardised inputs and standardised quantities, a wave on a line."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2 * n, columns))
    y = x @ rng.standard_normal((columns, targets)) + np.sin(2 * x @ rng.standard_normal((columns, targets)))
    y = (y - y.mean(0)) / y.std(0) + 0.1 * rng.standard_normal(y.shape)
    return _halves(torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32), n)


def digits(seed: int, *, scale: float = 16.0, image: bool = False, n: int = N) -> tuple[Batch, Batch]:
    """Return handwritten digits from 0 to 16/scale, in a new order for each seed."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(pixels))[: 2 * n]
    x = torch.tensor(pixels[order] / scale, dtype=torch.float32)
    return _halves(x.view(-1, 1, 8, 8) if image else x, torch.tensor(labels[order]), n)


def sequences(seed: int, length: int = 12, n: int = N) -> tuple[Batch, Batch]:
    """Return sequences whose label says which half is larger."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2 * n, length, 1))
    y = x[:, length // 2 :].sum((1, 2)) > x[:, : length // 2].sum((1, 2))
    return _halves(torch.tensor(x, dtype=torch.float32), torch.tensor(y.astype(np.int64)), n)


def _halves(x: Tensor, y: Tensor, n: int) -> tuple[Batch, Batch]:
    return (x[:n], y[:n]), (x[n:], y[n:])


class Last(nn.Module):
    """A recurrent layer that hands on its last output."""

    def __init__(self, cell: nn.RNNBase) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        """Return the last output (n, units)."""
        return self.cell(x)[0][:, -1]


class Residual(nn.Module):
    """Adds what its body makes to what it is given."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        """Return inputs plus what the body makes of them."""
        return x + self.body(x)


class Encoder(nn.Module):
    """A small transformer over the rows of an 8x8 image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.place = nn.Parameter(0.1 * torch.randn(8, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, 10)."""
        return self.head(self.encoder(self.embed(x.view(-1, 8, 8)) + self.place).mean(1))


def probabilities_cross_entropy(p: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy of probabilities that are brought to sum 1 and clipped; labels are one-hot."""
    p = (p / p.sum(-1, keepdim=True)).clamp(1e-7, 1 - 1e-7)
    return -(y * p.log()).sum(-1).mean()


def clipped_binary_cross_entropy(p: Tensor, y: Tensor) -> Tensor:
    """Return the binary cross-entropy of probabilities, clipped."""
    p, y = p.clamp(1e-7, 1 - 1e-7), y.reshape(p.shape).to(p.dtype)
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def column_squared_error(o: Tensor, y: Tensor) -> Tensor:
    """Return the squared error of outputs (n, 1) and targets (n,)."""
    return (o[:, 0] - y).square().mean()


def adam(rate: float = 3e-3) -> Callable[..., Optimizer]:
    """Return what makes an Adam."""
    return lambda parameters: torch.optim.Adam(parameters, lr=rate)


def sgd(rate: float, momentum: float = 0.0) -> Callable[..., Optimizer]:
    """Return what makes a plain gradient descent."""
    return lambda parameters: torch.optim.SGD(parameters, lr=rate, momentum=momentum)


def training(
    network: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: Callable[..., Optimizer],
    data: tuple[Batch, Batch],
    batch_size: int = 32,
) -> Setup:
    """Return a training in a plain loop."""
    return Setup(network, loss, optimizer, data[0], data[1], batch_size=batch_size, epochs=10)


def mlp(inputs: int, outputs: int, *end: nn.Module) -> nn.Sequential:
    """Return a rectified network with two hidden layers."""
    hidden = (nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU())
    return nn.Sequential(*hidden, nn.Linear(32, outputs), *end)


def one_hot(data: tuple[Batch, Batch], classes: int) -> tuple[Batch, Batch]:
    """Return data with one-hot targets."""
    (x, y), (vx, vy) = data
    return (x, functional.one_hot(y, classes).float()), (vx, functional.one_hot(vy, classes).float())


def mixed_columns(seed: int) -> tuple[Batch, Batch]:
    """Return quantities whose inputs have a category as rare and common one-hot columns beside them."""
    (x, y), (vx, vy) = quantities(seed)
    rng = np.random.default_rng(seed + 1)
    kinds = torch.tensor(rng.choice(5, 2 * len(x), p=[0.5, 0.3, 0.1, 0.08, 0.02]))
    columns = functional.one_hot(kinds, 5).float()
    half = len(x)
    return (torch.cat([x, columns[:half]], 1), y + columns[:half, :1]), (
        torch.cat([vx, columns[half:]], 1),
        vy + columns[half:, :1],
    )


def imbalanced(seed: int) -> tuple[Batch, Batch]:
    """Return two classes of which one has six in a hundred samples."""
    (x, y), held = table(seed, classes=2, n=3 * N)
    rng = np.random.default_rng(seed)
    keep = (y == 0) | torch.tensor(rng.random(len(y)) < 0.07)
    return (x[keep], y[keep]), held


def noisy(seed: int) -> tuple[Batch, Batch]:
    """Return three classes with a fifth of the labels drawn at random."""
    (x, y), held = table(seed)
    rng = np.random.default_rng(seed)
    flip = torch.tensor(rng.random(len(y)) < 0.2)
    return (x, torch.where(flip, torch.tensor(rng.integers(0, 3, len(y))), y)), held


def several_labels(seed: int) -> tuple[Batch, Batch]:
    """Return samples with any number of four labels."""
    (x, y), (vx, vy) = quantities(seed, targets=4)
    return (x, (y > 0).float()), (vx, (vy > 0).float())


def as_column(data: tuple[Batch, Batch]) -> tuple[Batch, Batch]:
    """Return data with targets as one column of floating point numbers."""
    (x, y), (vx, vy) = data
    return (x, y.float().view(-1, 1)), (vx, vy.float().view(-1, 1))


def accumulating(seed: int) -> Setup:
    """Return a training whose own loop takes a step every fourth batch and clips the gradient."""
    data = digits(seed)
    setup = training(
        nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), nn.CrossEntropyLoss(), adam(), data, 8
    )
    counter = {"calls": 0}

    def begin() -> tuple[nn.Module, Optimizer]:
        counter["calls"] = 0
        network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        return network, torch.optim.Adam(network.parameters(), lr=3e-3)

    def step(network: nn.Module, optimizer: Optimizer, batch: Batch) -> Tensor:
        loss = functional.cross_entropy(network(batch[0]), batch[1])
        (loss / 4).backward()
        counter["calls"] += 1
        if counter["calls"] % 4 == 0:
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    return replace(setup, step=step, begin=begin)


def evaluating(seed: int) -> Setup:
    """Return a training with dropout, normalisation, a loop and an evaluation of its own, all sound."""
    data = table(seed)

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 3))

    def begin() -> tuple[nn.Module, Optimizer]:
        network = make()
        return network, torch.optim.AdamW(network.parameters(), lr=3e-3)

    def step(network: nn.Module, optimizer: Optimizer, batch: Batch) -> Tensor:
        network.train()
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss.detach()

    def evaluate(network: nn.Module, inputs: Tensor) -> Tensor:
        network.eval()
        with torch.no_grad():
            return network(inputs)

    setup = training(make(), nn.CrossEntropyLoss(), adam(), data)
    return replace(setup, step=step, begin=begin, evaluate=evaluate)


def embedded(seed: int) -> Setup:
    """Return a training on words: the label says which of two groups of words is more frequent."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 50, (2 * N, 12))
    labels = torch.tensor(((words < 25).sum(1) > 6).astype(np.int64))

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(50, 16), nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.embedding(x)).mean(1))

    data = _halves(torch.tensor(words), labels, N)
    return training(Bag(), nn.CrossEntropyLoss(), adam(1e-2), data)


def convolutional(*, normalised: bool) -> nn.Module:
    """Return a small convolutional network, residual and normalised or plain."""
    if not normalised:
        first = (nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
        return nn.Sequential(*first, nn.Flatten(), nn.Linear(256, 10))
    block = (nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
    stem = (nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(*stem, Residual(*block), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10))


def selu() -> nn.Module:
    """Return eight self-normalising layers with LeCun weights."""
    layers: list[nn.Module] = []
    for k in range(8):
        linear = nn.Linear(64 if k == 0 else 24, 24)
        nn.init.normal_(linear.weight, 0.0, linear.in_features**-0.5)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.SELU()]
    return nn.Sequential(*layers, nn.Linear(24, 10))


def batch_normalised() -> nn.Module:
    """Return a dense network with batch normalisation."""
    first = (nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU())
    return nn.Sequential(*first, nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))


def coder() -> nn.Module:
    """Return an autoencoder of digits with a linear code."""
    encoder = (nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8))
    return nn.Sequential(*encoder, nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())


def same(data: tuple[Batch, Batch]) -> tuple[Batch, Batch]:
    """Return data whose targets are their inputs."""
    return (data[0][0], data[0][0].clone()), (data[1][0], data[1][0].clone())


def flat(data: tuple[Batch, Batch]) -> tuple[Batch, Batch]:
    """Return data whose targets are a vector instead of a column."""
    return (data[0][0], data[0][1][:, 0]), (data[1][0], data[1][1][:, 0])


CE = nn.CrossEntropyLoss()

MAKERS: dict[str, Callable[[int], Setup]] = {
    "dense, classes": lambda s: training(mlp(8, 3), CE, adam(), table(s)),
    "dense, few rows": lambda s: training(mlp(8, 3), CE, adam(), table(s, n=100), 16),
    "dense, rows in a fixed order": lambda s: replace(training(mlp(8, 3), CE, adam(), table(s)), shuffle=False),
    "dense, digits from 0 to 16": lambda s: training(mlp(64, 10), CE, adam(1e-3), digits(s, scale=1.0)),
    "dense, label noise": lambda s: training(mlp(8, 3), CE, sgd(0.1), noisy(s)),
    "dense, imbalanced": lambda s: training(mlp(8, 2), CE, sgd(0.05, 0.9), imbalanced(s)),
    "dense, two classes as a column": lambda s: training(
        mlp(8, 1, nn.Sigmoid()), clipped_binary_cross_entropy, adam(), as_column(table(s, classes=2))
    ),
    "dense, softmax and probabilities": lambda s: training(
        mlp(8, 3, nn.Softmax(-1)), probabilities_cross_entropy, adam(), one_hot(table(s), 3)
    ),
    "dense, log-softmax and NLL": lambda s: training(mlp(8, 3, nn.LogSoftmax(-1)), nn.NLLLoss(), sgd(0.1), table(s)),
    "dense, several labels": lambda s: training(mlp(6, 4), nn.BCEWithLogitsLoss(), adam(), several_labels(s)),
    "dense, quantities": lambda s: training(mlp(6, 2), nn.MSELoss(), adam(), quantities(s, targets=2)),
    "dense, mixed columns": lambda s: training(mlp(11, 1), nn.SmoothL1Loss(), adam(), mixed_columns(s)),
    "dense, tanh": lambda s: training(
        nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)),
        nn.L1Loss(),
        adam(),
        quantities(s),
    ),
    "linear regression": lambda s: training(nn.Linear(6, 1), column_squared_error, sgd(0.05), flat(quantities(s))),
    "autoencoder": lambda s: training(coder(), nn.MSELoss(), adam(), same(digits(s))),
    "batch normalisation": lambda s: training(batch_normalised(), CE, sgd(0.05, 0.9), table(s)),
    "self-normalising stack": lambda s: training(selu(), CE, adam(1e-3), digits(s)),
    "convolutional": lambda s: training(convolutional(normalised=False), CE, sgd(0.05, 0.9), digits(s, image=True)),
    "residual": lambda s: training(convolutional(normalised=True), CE, adam(), digits(s, image=True)),
    "LSTM": lambda s: training(
        nn.Sequential(Last(nn.LSTM(1, 16, batch_first=True)), nn.Linear(16, 2)), CE, adam(5e-3), sequences(s)
    ),
    "GRU": lambda s: training(
        nn.Sequential(Last(nn.GRU(1, 16, batch_first=True)), nn.Linear(16, 2)), CE, adam(5e-3), sequences(s)
    ),
    "transformer": lambda s: training(Encoder(), CE, adam(), digits(s)),
    "words": embedded,
    "own loop that accumulates and clips": accumulating,
    "own loop, dropout and evaluation": evaluating,
}
"""What makes each kind of training from a seed; `subject` fixes the random state first."""


def subject(name: str, seed: int) -> Setup:
    """Return a healthy training of some kind, drawn for a seed; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MAKERS[name](seed)
