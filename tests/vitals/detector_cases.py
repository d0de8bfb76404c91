"""Sick trainings with one planted fault each, and windows made by hand."""

from collections.abc import Callable

import numpy as np
import torch
from reference_recorder import ReferenceRecorder
from torch import Tensor, nn
from torch.nn import functional

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.vitals.detectors.detector import Detector
from equipoise.vitals.window import Event, Layer, Weights, Window

Step = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], Tensor]


def made(
    steps: int = 64,
    *,
    start: int = 1,
    loss: np.ndarray | None = None,
    rate: float | np.ndarray = 0.1,
    layers: tuple[Layer, ...] = (
        Layer("0", "Linear", "", 8),
        Layer("1", "ReLU", "relu", 8),
        Layer("2", "Linear", "", 2),
    ),
    activation: dict[str, np.ndarray] | None = None,
    fired: tuple[np.ndarray, ...] | None = None,
    seen: int = 2048,
    weights: tuple[Weights, ...] = (Weights("0.weight", "0", 64, 64), Weights("2.weight", "2", 16, 16)),
    gradient: dict[str, np.ndarray] | None = None,
    weight: dict[str, np.ndarray] | None = None,
    events: tuple[Event, ...] = (),
    seed: int = 0,
) -> Window:
    """Return a window of a healthy training, but for what is handed in (scalars and vectors are broadcast)."""
    rng = np.random.default_rng([seed, start])
    s, n, p = steps, len(layers), len(weights)

    def filled(
        given: dict[str, np.ndarray] | None, usual: dict[str, np.ndarray], columns: int
    ) -> dict[str, np.ndarray]:
        both = usual | (given or {})
        return {name: np.broadcast_to(np.asarray(value, float), (s, columns)).copy() for name, value in both.items()}

    wobble = np.exp(0.1 * rng.standard_normal((s, 1)))
    usual_activation = {"mean": 0.1 * wobble, "deviation": wobble, "maximum": 3 * wobble, "zeros": 0.5}
    usual_activation |= {"saturated": np.nan, "non_finite": 0}
    usual_gradient = {"norm": wobble, "zeros": 0, "cosine": 0.1 * rng.standard_normal((s, 1)), "non_finite": 0}
    return Window(
        steps=np.arange(start, start + s, dtype=np.int64),
        loss=np.asarray(loss if loss is not None else np.exp(-np.arange(start, start + s) / 100) * wobble[:, 0], float),
        learning_rate=np.broadcast_to(np.asarray(rate, float), (s,)).copy(),
        layers=layers,
        activation=filled(activation, usual_activation, n),
        fired=fired if fired is not None else tuple(rng.binomial(seen, 0.5, one.units) for one in layers),
        seen=np.full(n, seen, dtype=np.int64),
        weights=weights,
        gradient=filled(gradient, usual_gradient, p),
        weight=filled(weight, {"norm": 1.0, "update_ratio": 1e-3 * wobble}, p),
        events=events,
    )


def watched(detector: Detector, windows: list[Window]) -> list[Symptom]:
    """Return everything a detector says about windows."""
    return [symptom for window in windows for symptom in detector.observe(window)]


def alarms(symptoms: list[Symptom]) -> list[Symptom]:
    """Return those that warn or fail."""
    return [one for one in symptoms if one.verdict.severity >= Verdict.WARN.severity]


def plain(loss: Callable[[Tensor, Tensor], Tensor]) -> Step:
    """Return the body of a correct loop."""

    def step(network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        value = loss(network(x), y)
        value.backward()
        optimizer.step()
        return value.detach()

    return step


def recorded(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: Step,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 256,
    batch_size: int = 32,
    shuffle: bool = True,
    window: int = 64,
    seed: int = 0,
) -> list[Window]:
    """Train and return the windows of the reference recorder."""
    recorder = ReferenceRecorder(network, optimizer, window)
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(order) < batch_size:
            order = torch.randperm(len(x), generator=generator) if shuffle else torch.arange(len(x))
        picked, order = order[:batch_size], order[batch_size:]
        recorder.record(step(network, optimizer, x[picked], y[picked]))
    recorder.close()
    return list(recorder.windows(rest=True))


def points(seed: int = 0, n: int = 512, features: int = 8, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Return standardised points around random centres, and their classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    x = rng.standard_normal((classes, features))[labels] * 1.5 + rng.standard_normal((n, features))
    return torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32), torch.tensor(labels)


def stack(sizes: list[int], activation: type[nn.Module]) -> nn.Sequential:
    """Return linear layers with an activation between them."""
    parts: list[nn.Module] = []
    for k in range(len(sizes) - 1):
        parts += [nn.Linear(sizes[k], sizes[k + 1]), activation()]
    return nn.Sequential(*parts[:-1])


CROSS_ENTROPY = plain(functional.cross_entropy)


def healthy_windows(seed: int = 0, steps: int = 256) -> list[Window]:
    """Return a healthy training: ReLU classifier, Adam."""
    torch.manual_seed(seed)
    network = stack([8, 32, 32, 4], nn.ReLU)
    return recorded(network, torch.optim.Adam(network.parameters(), 3e-3), CROSS_ENTROPY, *points(seed), steps=steps)


def vanishing(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, *[16] * 10, 4], nn.Sigmoid)
    return recorded(network, torch.optim.SGD(network.parameters(), 0.1), CROSS_ENTROPY, *points(seed))


def exploding(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, *[32] * 20, 4], nn.Tanh)
    for one in network:
        if isinstance(one, nn.Linear):
            nn.init.normal_(one.weight, std=4.0 * one.in_features**-0.5)
    nn.init.normal_(network[-1].weight, std=0.1)
    return recorded(network, torch.optim.SGD(network.parameters(), 1e-3), CROSS_ENTROPY, *points(seed), batch_size=256)


def dead(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, 32, 32, 4], nn.ReLU)
    nn.init.constant_(network[0].bias, -30.0)
    return recorded(network, torch.optim.SGD(network.parameters(), 0.1), CROSS_ENTROPY, *points(seed))


def saturated(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, 32, 4], nn.Sigmoid)
    x, y = points(seed)
    return recorded(network, torch.optim.SGD(network.parameters(), 0.01), CROSS_ENTROPY, 1000 * x, y)


def one_softmax_unit(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Softmax(1))
    x, y = points(seed, classes=2)
    loss = plain(functional.mse_loss)
    return recorded(network, torch.optim.SGD(network.parameters(), 0.1), loss, x, y[:, None].float())


def huge_steps(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, 32, 32, 4], nn.Tanh)
    x, y = points(seed)
    y = torch.where(torch.rand(len(y)) < 0.3, torch.randint(0, 4, (len(y),)), y)  # so that sure answers are punished
    return recorded(network, torch.optim.RMSprop(network.parameters(), 1.0), CROSS_ENTROPY, x, y)


def tiny_steps(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, 32, 4], nn.ReLU)
    return recorded(network, torch.optim.SGD(network.parameters(), 1e-7), CROSS_ENTROPY, *points(seed), steps=512)


def bouncing(seed: int) -> list[Window]:
    """Absolute errors have a gradient of one size, so a long step jumps over the lowest point again and again."""
    torch.manual_seed(seed)
    network = nn.Linear(1, 1)
    x = torch.rand(256, 1) + 0.5
    sgd = torch.optim.SGD(network.parameters(), 1.0)
    return recorded(network, sgd, plain(functional.l1_loss), x, 0.1 * x, steps=256)


def standing(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, 32, 4], nn.ReLU)
    nn.init.zeros_(network[0].weight)
    nn.init.zeros_(network[2].weight)
    nn.init.zeros_(network[2].bias)
    nn.init.zeros_(network[0].bias)
    x, y = points(seed, n=2048)
    return recorded(network, torch.optim.SGD(network.parameters(), 0.01), CROSS_ENTROPY, x, y, steps=1024)


def diverging(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    x, _ = points(seed)
    y = (x @ torch.ones(8, 1)) * 3
    network = nn.Linear(8, 1)
    sharpness = float(torch.linalg.eigvalsh(2 * x.T @ x / len(x)).max())
    sgd = torch.optim.SGD(network.parameters(), 2.05 / sharpness)
    return recorded(network, sgd, plain(functional.mse_loss), x, y, batch_size=len(x), steps=128)


def uphill(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, 32, 4], nn.ReLU)
    sgd = torch.optim.SGD(network.parameters(), 0.003, maximize=True)
    return recorded(network, sgd, CROSS_ENTROPY, *points(seed))


def log_likelihood(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, 32, 4], nn.ReLU)
    step = plain(lambda out, y: -functional.cross_entropy(out, y))
    return recorded(network, torch.optim.SGD(network.parameters(), 0.02), step, *points(seed), steps=320)


def infinite(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, 32, 4], nn.ReLU)
    step = plain(lambda out, y: functional.nll_loss(torch.log(out), y))
    return recorded(network, torch.optim.SGD(network.parameters(), 0.1), step, *points(seed), steps=16)


def over_regularised(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, 32, 4], nn.ReLU)
    sgd = torch.optim.SGD(network.parameters(), 0.01, weight_decay=3.0)
    return recorded(network, sgd, CROSS_ENTROPY, *points(seed), steps=512)


def no_zero_grad(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, 32, 4], nn.ReLU)

    def step(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
        loss = functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return recorded(network, torch.optim.SGD(network.parameters(), 0.01), step, *points(seed), steps=64)


def stale(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network, other = stack([8, 32, 4], nn.ReLU), stack([8, 32, 4], nn.ReLU)

    def step(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
        net.zero_grad()
        loss = functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return recorded(network, torch.optim.SGD(other.parameters(), 0.1), step, *points(seed), steps=64)


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(x)).detach())


def detached(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = Detached()
    return recorded(network, torch.optim.SGD(network.parameters(), 0.1), CROSS_ENTROPY, *points(seed), steps=64)


def sorted_batches(seed: int) -> list[Window]:
    torch.manual_seed(seed)
    network = stack([8, 32, 4], nn.ReLU)
    x, y = points(seed)
    order = torch.argsort(y)
    sgd = torch.optim.SGD(network.parameters(), 0.1)
    return recorded(network, sgd, CROSS_ENTROPY, x[order], y[order], shuffle=False, steps=512)


SICK: dict[str, tuple[Callable[[int], list[Window]], str]] = {
    "vanishing-gradient": (vanishing, "vanishing_gradient"),
    "exploding-gradient": (exploding, "exploding_gradient"),
    "dead-units": (dead, "dying_relu"),
    "saturated-units": (saturated, "saturated_activation"),
    "collapsed-activations": (one_softmax_unit, "wrong_output_activation"),
    "step-too-large": (huge_steps, "lr_too_high"),
    "step-too-small": (tiny_steps, "lr_too_low"),
    "oscillation": (bouncing, "lr_too_high"),
    "plateau": (standing, "lr_too_low"),
    "divergence": (diverging, "lr_too_high"),
    "gradient-ascent": (uphill, "gradient_ascent"),
    "floorless-loss": (log_likelihood, "gradient_ascent"),
    "non-finite": (infinite, "loss_mismatch"),
    "regulariser-dominating": (over_regularised, "over_regularised"),
    "missing-zero-grad": (no_zero_grad, "missing_zero_grad"),
    "stale-optimizer": (stale, "parameters_not_updated"),
    "no-gradient": (detached, "parameters_without_gradient"),
    "fixed-order": (sorted_batches, "no_shuffle"),
}
"""By name of the detector that must see it: what makes the windows of a seed, and a fault that must be suggested."""
