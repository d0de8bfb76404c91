"""Small problems with a planted fault, and what is measured on a network that was trained on them."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from equipoise.core.plan import Plan
from equipoise.core.preprocessing import ArrayNumbers, ImageNumbers, Preprocessing
from equipoise.core.signature import ArrayInput, ImageInput, Signature, Task
from equipoise.data.samples import Splits, TensorSamples
from equipoise.fit.fit import fit
from equipoise.fit.fitted import Fit
from equipoise.treat.change import Change


def sick(network: dict, **recipe) -> Plan:
    """Return a plan on given data that keeps its last network and is not governed, unless told otherwise."""
    return Plan.read(
        {
            "name": "sick",
            "data": {"source": "given"},
            "network": network,
            "recipe": {"threads": 1, "keep": "last", "governor": False, "epochs": 10, **recipe},
        }
    )


def divided(inputs, targets, task: Task, *, target=((), ()), axes="", train=0.6) -> Splits:
    """Divide arrays in order into training and validation rows; the test part is empty but for a few."""
    inputs, targets = torch.as_tensor(np.asarray(inputs, np.float32)), torch.as_tensor(targets)
    n = len(inputs)
    rows = {"train": slice(0, int(train * n)), "validation": slice(int(train * n), n - 8), "test": slice(n - 8, n)}
    spec = ArrayInput(shape=tuple(inputs.shape[1:]), **({"axes": axes} if axes else {}))
    seen = inputs[rows["train"]].double()
    numbers = ArrayNumbers(mean=seen.mean(0).flatten().tolist(), scale=seen.std(0).flatten().tolist())
    if axes:
        numbers = ArrayNumbers(mean=(0.0,) * inputs.shape[-1], scale=(1.0,) * inputs.shape[-1])
    return Splits(
        name="sick",
        **{name: TensorSamples(inputs[row], targets[row]) for name, row in rows.items()},
        signature=Signature(inputs=spec, task=task),
        preprocessing=Preprocessing(inputs=numbers, target_mean=tuple(target[0]), target_scale=tuple(target[1])),
        rows={name: np.arange(n)[row] for name, row in rows.items()},
        notes=(),
        digest=f"{n}-{float(inputs.double().sum()):.6f}-{float(targets.double().sum()):.6f}",
    )


def classes(count: int) -> Task:
    return Task(kind="multiclass", classes=tuple(f"class {i}" for i in range(count)))


def rings(n=400, seed=0, *, ordered=False) -> Splits:
    """Return points inside and outside of a circle: no straight line divides them."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(2, size=n)
    radius = np.where(labels == 0, draw.uniform(0, 0.8, n), draw.uniform(1.2, 2, n))
    angle = draw.uniform(0, 2 * np.pi, n)
    inputs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    if ordered:  # the training rows come sorted by class
        first = int(0.6 * n)
        order = np.concatenate([np.argsort(labels[:first], kind="stable"), np.arange(first, n)])
        inputs, labels = inputs[order], labels[order]
    return divided(inputs, labels.astype(np.int64), classes(2))


def clouds(n=400, seed=0, spread=1.0, count=3, features=4, flipped=0.0) -> Splits:
    """Return Gaussian clouds, some training labels drawn at random."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(count, features)) * 2
    labels = draw.integers(count, size=n)
    inputs = centres[labels] + spread * draw.normal(size=(n, features))
    wrong = (draw.uniform(size=n) < flipped) & (np.arange(n) < 0.6 * n)
    labels = np.where(wrong, draw.integers(count, size=n), labels)
    return divided(inputs, labels.astype(np.int64), classes(count))


def waves(n=400, seed=0, noise=0.3) -> Splits:
    """Return a smooth curve of three inputs with noise, in units of hundreds."""
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(n, 3))
    values = np.sin(inputs[:, 0]) + inputs[:, 1] + noise * draw.normal(size=n)
    targets = (50 * values + 300).astype(np.float32)[:, None]
    first = targets[: int(0.6 * n)]
    task = Task(kind="regression", targets=("y",))
    return divided(inputs, targets, task, target=(first.mean(0).tolist(), first.std(0).tolist()))


def memories(n=400, seed=0, steps=20) -> Splits:
    """Return sequences whose class is the sign of their first step; the others are noise."""
    draw = np.random.default_rng(seed)
    inputs = 0.3 * draw.normal(size=(n, steps, 1))
    labels = draw.integers(2, size=n)
    inputs[:, 0, 0] = 2.0 * labels - 1
    return divided(inputs, labels.astype(np.int64), classes(2), axes="steps,features")


def halves(n=300, seed=0) -> Splits:
    """Return images whose left or right half is brighter."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(2, size=n)
    images = 0.5 * draw.normal(size=(n, 1, 8, 8))
    images[labels == 0, :, :, :4] += 1
    images[labels == 1, :, :, 4:] += 1
    flat = divided(images.reshape(n, -1), labels.astype(np.int64), classes(2))
    parts = {
        name: TensorSamples(part.inputs.view(-1, 1, 8, 8), part.targets)
        for name, part in (("train", flat.train), ("validation", flat.validation), ("test", flat.test))
    }
    signature = flat.signature.replace(inputs=ImageInput(channels=1, height=8, width=8))
    numbers = Preprocessing(inputs=ImageNumbers(mean=(0.5,), scale=(0.7,)))
    return dataclasses.replace(flat, **parts, signature=signature, preprocessing=numbers)


@functools.cache
def measured(plan_text: str, data: Callable[[], Splits], seed: int, measure: Callable[[Fit], float]) -> float:
    """Return what was measured on the network of a seed."""
    value = measure(fit(Plan.model_validate_json(plan_text), seed, splits=data()))
    return value if np.isfinite(value) else 0.0


def score(done: Fit) -> float:
    """Return the validation score."""
    return done.score


def confidence(done: Fit) -> float:
    """Return the mean log probability of the true validation class."""
    inputs, targets = done.splits.validation.batch(torch.arange(len(done.splits.validation)))
    with torch.no_grad():
        return -float(nn.functional.cross_entropy(done.network(inputs), targets))


def calm(done: Fit) -> float:
    """Return how little the largest logit changes with the inputs: minus the mean length of its gradient."""
    inputs, _ = done.splits.validation.batch(torch.arange(len(done.splits.validation)))
    inputs.requires_grad_()
    (slope,) = torch.autograd.grad(done.network(inputs).amax(1).sum(), inputs)
    return -float(slope.flatten(1).norm(dim=1).mean())


def alone(done: Fit) -> float:
    """Return the validation score where every sample is answered by itself."""
    inputs, targets = done.splits.validation.batch(torch.arange(len(done.splits.validation)))
    with torch.no_grad():
        said = torch.cat([done.network(one[None]) for one in inputs])
    return float((said.argmax(1) == targets).float().mean())


def assert_cured(
    treatment: Change,
    plan: Plan,
    data: Callable[[], Splits],
    margin: float,
    measure: Callable[[Fit], float] = score,
    seeds: int = 3,
) -> None:
    """Assert that treated networks are better by a margin in the mean, and with no seed worse."""
    arms = (plan, treatment.apply(plan))
    found = np.array([[measured(one.model_dump_json(), data, seed, measure) for seed in range(seeds)] for one in arms])
    gain = found[1] - found[0]
    told = f"{treatment.id}: untreated {found[0].round(3)}, treated {found[1].round(3)}"
    assert gain.mean() >= margin, told
    assert gain.min() >= 0, told


def with_outliers(splits: Splits, factor=60.0, every=40) -> Splits:
    """Return the data with every fortieth training row far away."""
    inputs, targets = (part.clone() for part in splits.train.batch(torch.arange(len(splits.train))))
    inputs[::every] *= factor
    return dataclasses.replace(splits, train=TensorSamples(inputs, targets))
