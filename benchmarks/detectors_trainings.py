"""Healthy trainings of many kinds, each drawn from a seed: data, width, rate and batch size differ by seed."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR


@dataclass(slots=True, eq=False)
class Training:
    """One training: everything a plain loop needs."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Callable[[Tensor, Tensor], Tensor]
    inputs: Tensor
    targets: Tensor
    batch_size: int
    steps: int
    schedule: Callable[[int], float] | None = None
    clip: float | None = None


class Recurrent(nn.Module):
    """A recurrent layer and a read-out of its last step."""

    def __init__(self, kind: type[nn.RNNBase], features: int, width: int, outputs: int) -> None:
        super().__init__()
        self.layer = kind(features, width, batch_first=True)
        self.readout = nn.Linear(width, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, steps, features) to (n, outputs)."""
        scores: Tensor = self.readout(self.layer(inputs)[0][:, -1])
        return scores


class Attending(nn.Module):
    """A small transformer encoder that averages over the sequence."""

    def __init__(self, features: int, width: int, outputs: int, norm_first: bool) -> None:
        super().__init__()
        self.embed = nn.Linear(features, width)
        self.position = nn.Parameter(0.1 * torch.randn(12, width))
        one = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.1, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(one, 1, enable_nested_tensor=False)
        self.readout = nn.Linear(width, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, steps, features) to (n, outputs)."""
        scores: Tensor = self.readout(self.encoder(self.embed(inputs) + self.position).mean(1))
        return scores


class Residual(nn.Module):
    """A body around which its input is added."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, inputs: Tensor) -> Tensor:
        """Map a tensor to one of the same shape."""
        out: Tensor = inputs + self.body(inputs)
        return out


def blobs(rng: np.random.Generator, n: int, features: int, classes: int, apart: float) -> tuple[Tensor, Tensor]:
    """Return standardised points (n, features) around random centres, and their classes (n,)."""
    labels = rng.integers(0, classes, n)
    centres = rng.standard_normal((classes, features)) * apart / math.sqrt(features)
    points = centres[labels] + rng.standard_normal((n, features))
    points = (points - points.mean(0)) / points.std(0)
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels)


def values(rng: np.random.Generator, n: int, features: int, noise: float) -> tuple[Tensor, Tensor]:
    """Return normal inputs (n, features) and a smooth function of them with noise, standardised (n, 1)."""
    points = rng.standard_normal((n, features))
    weights = rng.standard_normal(features) / math.sqrt(features)
    y = np.sin(2 * points @ weights) + 0.5 * points[:, 0] + noise * rng.standard_normal(n)
    y = (y - y.mean()) / y.std()
    return torch.tensor(points, dtype=torch.float32), torch.tensor(y[:, None], dtype=torch.float32)


def sequences(rng: np.random.Generator, n: int, length: int) -> tuple[Tensor, Tensor]:
    """Return sequences (n, length, 3) and which of two slow patterns (n,) is in them."""
    labels = rng.integers(0, 2, n)
    time = np.arange(length)
    wave = np.sin(time[None] * np.where(labels, 0.9, 0.5)[:, None] + rng.uniform(0, 6.28, (n, 1)))
    noise = rng.standard_normal((n, length, 2))
    out = np.concatenate((wave[:, :, None] + 0.3 * rng.standard_normal((n, length, 1)), noise), 2)
    return torch.tensor(out, dtype=torch.float32), torch.tensor(labels)


def pictures(rng: np.random.Generator, n: int, classes: int) -> tuple[Tensor, Tensor]:
    """Return pictures (n, 1, 12, 12) with a class's pattern at a random place, and their classes (n,)."""
    labels = rng.integers(0, classes, n)
    patterns = rng.standard_normal((classes, 5, 5))
    out = 0.5 * rng.standard_normal((n, 1, 12, 12))
    for k, label in enumerate(labels):
        a, b = rng.integers(0, 7, 2)
        out[k, 0, a : a + 5, b : b + 5] += patterns[label]
    return torch.tensor(out, dtype=torch.float32), torch.tensor(labels)


def dense(
    sizes: list[int], activation: Callable[[], nn.Module], *, norm: bool = False, dropout: float = 0.0
) -> nn.Module:
    """Return a plain stack of linear layers."""
    parts: list[nn.Module] = []
    for a, b in pairwise(sizes[:-1]):
        parts += [nn.Linear(a, b), *([nn.BatchNorm1d(b)] if norm else []), activation()]
        parts += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*parts, nn.Linear(sizes[-2], sizes[-1]))


def lecun(network: nn.Module) -> nn.Module:
    """Give linear layers the weights that self-normalising networks need."""
    for one in network.modules():
        if isinstance(one, nn.Linear):
            nn.init.normal_(one.weight, std=one.in_features**-0.5)
            nn.init.zeros_(one.bias)
    return network


def he(network: nn.Module) -> nn.Module:
    """Give layers He weights and zero biases."""
    for one in network.modules():
        if isinstance(one, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(one.weight, nonlinearity="relu")
            nn.init.zeros_(one.bias)
    return network


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _classes(rng: np.random.Generator, apart: float = 4.0) -> tuple[Tensor, Tensor, int, int]:
    features, classes = int(rng.integers(4, 20)), int(rng.integers(2, 8))
    x, y = blobs(rng, int(rng.integers(300, 800)), features, classes, apart)
    return x, y, features, classes


def mlp_relu_adam(rng: np.random.Generator) -> Training:
    """ReLU classifier, Adam."""
    x, y, f, c = _classes(rng)
    net = dense([f, int(rng.integers(8, 65)), int(rng.integers(8, 65)), c], nn.ReLU)
    adam = torch.optim.Adam(net.parameters(), _log_uniform(rng, 1e-3, 1e-2))
    return Training(net, adam, functional.cross_entropy, x, y, int(rng.choice([8, 16, 32, 64])), 448)


def mlp_tanh_sgd(rng: np.random.Generator) -> Training:
    """Tanh classifier, momentum."""
    x, y, f, c = _classes(rng)
    net = dense([f, 32, 32, c], nn.Tanh)
    sgd = torch.optim.SGD(net.parameters(), _log_uniform(rng, 0.01, 0.1), momentum=0.9)
    return Training(net, sgd, functional.cross_entropy, x, y, int(rng.choice([8, 32])), 448)


def mlp_sigmoid_adam(rng: np.random.Generator) -> Training:
    """Two sigmoid layers, Adam."""
    x, y, f, c = _classes(rng)
    net = dense([f, 24, 24, c], nn.Sigmoid)
    adam = torch.optim.Adam(net.parameters(), _log_uniform(rng, 3e-3, 1e-2))
    return Training(net, adam, functional.cross_entropy, x, y, 32, 448)


def selu_stack(rng: np.random.Generator) -> Training:
    """Eight SELU layers, SGD."""
    x, y, f, c = _classes(rng)
    net = lecun(dense([f, *[24] * 8, c], nn.SELU))
    sgd = torch.optim.SGD(net.parameters(), _log_uniform(rng, 0.003, 0.02), momentum=0.9)
    return Training(net, sgd, functional.cross_entropy, x, y, 32, 256)


def batch_norm_stack(rng: np.random.Generator) -> Training:
    """Six ReLU layers with batch normalisation, SGD with weight decay."""
    x, y, f, c = _classes(rng)
    net = dense([f, *[24] * 6, c], nn.ReLU, norm=True)
    sgd = torch.optim.SGD(net.parameters(), _log_uniform(rng, 0.01, 0.1), momentum=0.9, weight_decay=5e-4)
    return Training(net, sgd, functional.cross_entropy, x, y, 32, 256)


def cnn(rng: np.random.Generator) -> Training:
    """Convolutional classifier with and without batch normalisation, SGD or Adam."""
    c = int(rng.integers(2, 6))
    x, y = pictures(rng, 800, c)
    norm = bool(rng.integers(2))
    parts: list[nn.Module] = [nn.Conv2d(1, 8, 3), *([nn.BatchNorm2d(8)] if norm else []), nn.ReLU(), nn.MaxPool2d(2)]
    parts += [nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 32), nn.ReLU(), nn.Linear(32, c)]
    net = he(nn.Sequential(*parts))
    opt: torch.optim.Optimizer = torch.optim.Adam(net.parameters(), _log_uniform(rng, 1e-3, 3e-3))
    if rng.integers(2):
        opt = torch.optim.SGD(net.parameters(), _log_uniform(rng, 0.01, 0.03), momentum=0.9)
    return Training(net, opt, functional.cross_entropy, x, y, int(rng.choice([16, 32])), 320)


def residual(rng: np.random.Generator) -> Training:
    """Four pre-normalised residual blocks, AdamW with warm-up."""
    x, y, f, c = _classes(rng)
    blocks = [
        Residual(nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 32))) for _ in range(12)
    ]
    net = nn.Sequential(nn.Linear(f, 32), *blocks, nn.LayerNorm(32), nn.Linear(32, c))
    adam = torch.optim.AdamW(net.parameters(), _log_uniform(rng, 5e-4, 3e-3), weight_decay=0.01)
    return Training(net, adam, functional.cross_entropy, x, y, 32, 256, lambda k: min(1.0, (k + 1) / 50))


def residual_images(rng: np.random.Generator) -> Training:
    """Residual convolutional network with batch normalisation, SGD with a cosine schedule."""
    c = int(rng.integers(2, 6))
    x, y = pictures(rng, 800, c)

    def block() -> nn.Module:
        body = (nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        return nn.Sequential(
            Residual(nn.Sequential(*body, nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))), nn.ReLU()
        )

    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), block(), block(), nn.MaxPool2d(2))
    net = nn.Sequential(net, nn.Flatten(), nn.Linear(200, c))
    sgd = torch.optim.SGD(net.parameters(), _log_uniform(rng, 0.02, 0.1), momentum=0.9, weight_decay=5e-4)
    return Training(
        net, sgd, functional.cross_entropy, x, y, 32, 256, lambda k: 0.5 * (1 + math.cos(math.pi * k / 256))
    )


def transformer(rng: np.random.Generator) -> Training:
    """Transformer encoder, AdamW with warm-up, clipped."""
    x, y = sequences(rng, 800, 12)
    net = Attending(3, 16, 2, bool(rng.integers(2)))
    adam = torch.optim.AdamW(net.parameters(), _log_uniform(rng, 2e-3, 5e-3))
    return Training(net, adam, functional.cross_entropy, x, y, 32, 256, lambda k: min(1.0, (k + 1) / 40), 1.0)


def recurrent(rng: np.random.Generator) -> Training:
    """LSTM or GRU classifier, Adam, clipped."""
    x, y = sequences(rng, 800, 16)
    net = Recurrent(nn.LSTM if rng.integers(2) else nn.GRU, 3, 24, 2)
    adam = torch.optim.Adam(net.parameters(), _log_uniform(rng, 3e-3, 1e-2))
    return Training(net, adam, functional.cross_entropy, x, y, 32, 320, None, 1.0)


def noisy_labels(rng: np.random.Generator) -> Training:
    """A fifth of the labels are wrong, small batches."""
    x, y, f, c = _classes(rng)
    wrong = torch.tensor(rng.random(len(y)) < 0.2)
    y = torch.where(wrong, torch.tensor(rng.integers(0, c, len(y))), y)
    net = dense([f, 32, 32, c], nn.ReLU)
    sgd = torch.optim.SGD(net.parameters(), _log_uniform(rng, 0.01, 0.05), momentum=0.9)
    return Training(net, sgd, functional.cross_entropy, x, y, int(rng.choice([2, 4, 8])), 512)


def imbalanced(rng: np.random.Generator) -> Training:
    """One class in twenty samples, Adam."""
    x, y = blobs(rng, 1200, 8, 2, 4.0)
    kept = torch.tensor(rng.random(len(y)) < np.where(y.numpy() == 1, 0.06, 1.0))
    net = dense([8, 32, 2], nn.ReLU)
    adam = torch.optim.Adam(net.parameters(), 3e-3)
    return Training(net, adam, functional.cross_entropy, x[kept], y[kept], 32, 512)


def single_samples(rng: np.random.Generator) -> Training:
    """Batches of one, regression, plain SGD."""
    x, y = values(rng, 400, 6, 0.3)
    net = dense([6, 32, 1], nn.Tanh)
    sgd = torch.optim.SGD(net.parameters(), _log_uniform(rng, 0.005, 0.02))
    return Training(net, sgd, functional.mse_loss, x, y, 1, 640)


def full_batch(rng: np.random.Generator) -> Training:
    """Full-batch gradient descent with a large step: the edge of stability."""
    x, y = blobs(rng, 200, 8, 3, 4.0)
    net = dense([8, 32, 3], nn.Tanh)
    sgd = torch.optim.SGD(net.parameters(), _log_uniform(rng, 0.1, 1.0))
    return Training(net, sgd, functional.cross_entropy, x, y, 200, 384)


def regression(rng: np.random.Generator) -> Training:
    """ReLU regression, Adam, RMSprop or SGD."""
    x, y = values(rng, 1000, int(rng.integers(2, 12)), 0.2)
    net = dense([x.shape[1], 64, 32, 1], nn.ReLU)
    make: list[Callable[[], torch.optim.Optimizer]] = [
        lambda: torch.optim.Adam(net.parameters(), 3e-3),
        lambda: torch.optim.RMSprop(net.parameters(), 1e-3),
        lambda: torch.optim.SGD(net.parameters(), 0.03),
    ]
    return Training(net, make[int(rng.integers(3))](), functional.mse_loss, x, y, 32, 512)


def memorised(rng: np.random.Generator) -> Training:
    """A wide network that learns few rows by heart, long after its loss is nearly zero."""
    x, y = blobs(rng, 150, 10, 3, 3.0)
    net = dense([10, 128, 128, 3], nn.ReLU)
    adam = torch.optim.Adam(net.parameters(), _log_uniform(rng, 1e-3, 5e-3))
    return Training(net, adam, functional.cross_entropy, x, y, 16, 640)


def decayed(rng: np.random.Generator) -> Training:
    """AdamW with strong but healthy decay and a cosine schedule down to nothing."""
    x, y, f, c = _classes(rng)
    net = dense([f, 64, 64, c], nn.ReLU)
    adam = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.1)
    return Training(
        net, adam, functional.cross_entropy, x, y, 32, 512, lambda k: 0.5 * (1 + math.cos(math.pi * k / 512))
    )


def restarts(rng: np.random.Generator) -> Training:
    """A rate that starts anew four times."""
    x, y, f, c = _classes(rng, 2.5)
    net = dense([f, 48, c], nn.ReLU)
    sgd = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    return Training(
        net, sgd, functional.cross_entropy, x, y, 32, 800, lambda k: 0.5 * (1 + math.cos(math.pi * (k % 200) / 200))
    )


def small_plane(rng: np.random.Generator) -> Training:
    """Two inputs in [0, 1], a narrow ReLU network, Adam: few units, some silent from birth."""
    x = torch.tensor(rng.random((400, 2)), dtype=torch.float32)
    y = ((x[:, 0] > 0.5) ^ (x[:, 1] > 0.5)).long()
    net = he(dense([2, 16, 16, 2], nn.ReLU))
    adam = torch.optim.Adam(net.parameters(), 1e-2)
    return Training(net, adam, functional.cross_entropy, x, y, 32, 512)


def dropped(rng: np.random.Generator) -> Training:
    """Half of the units dropped."""
    x, y, f, c = _classes(rng)
    net = dense([f, 64, 64, c], nn.ReLU, dropout=0.5)
    adam = torch.optim.Adam(net.parameters(), 2e-3)
    return Training(net, adam, functional.cross_entropy, x, y, 32, 512)


def autoencoder(rng: np.random.Generator) -> Training:
    """A sigmoid output that reproduces its inputs."""
    x, _ = blobs(rng, 600, 16, 4, 5.0)
    x = torch.sigmoid(x)
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4), nn.ReLU(), nn.Linear(4, 32), nn.ReLU())
    net = nn.Sequential(net, nn.Linear(32, 16), nn.Sigmoid())
    adam = torch.optim.Adam(net.parameters(), 3e-3)
    return Training(net, adam, functional.mse_loss, x, x, 32, 512)


HEALTHY: dict[str, Callable[[np.random.Generator], Training]] = {
    one.__name__: one
    for one in (
        mlp_relu_adam,
        mlp_tanh_sgd,
        mlp_sigmoid_adam,
        selu_stack,
        batch_norm_stack,
        cnn,
        residual,
        residual_images,
        transformer,
        recurrent,
        noisy_labels,
        imbalanced,
        single_samples,
        full_batch,
        regression,
        memorised,
        decayed,
        restarts,
        small_plane,
        dropped,
        autoencoder,
    )
}


def healthy(name: str, seed: int) -> Training:
    """Return a healthy training of a kind, drawn from a seed; seeds torch's global random state."""
    torch.manual_seed(seed)
    return HEALTHY[name](np.random.default_rng([seed, sorted(HEALTHY).index(name)]))


def run(training: Training, recorded: Callable[[Tensor], None], seed: int) -> None:
    """Train, and call `recorded` with the loss after every step."""
    generator = torch.Generator().manual_seed(seed)
    schedule = LambdaLR(training.optimizer, training.schedule) if training.schedule else None
    order = torch.empty(0, dtype=torch.long)
    for _ in range(training.steps):
        if len(order) < training.batch_size:
            order = torch.randperm(len(training.inputs), generator=generator)
        picked, order = order[: training.batch_size], order[training.batch_size :]
        training.optimizer.zero_grad()
        loss = training.loss(training.network(training.inputs[picked]), training.targets[picked])
        loss.backward()
        if training.clip:
            nn.utils.clip_grad_norm_(training.network.parameters(), training.clip)
        training.optimizer.step()
        if schedule:
            schedule.step()
        recorded(loss.detach())
