"""Small data sets and plans for the tests of fitting."""

import numpy as np
import torch

from equipoise.core.plan import Plan
from equipoise.core.preprocessing import ArrayNumbers, ImageNumbers, NoNumbers, Preprocessing
from equipoise.core.signature import ArrayInput, ImageInput, InputSpec, Signature, Task
from equipoise.data.samples import Splits, TensorSamples


def plan(network: dict, *, finish=(), seed=0, **recipe) -> Plan:
    return Plan.read(
        {
            "name": "test",
            "seed": seed,
            "data": {"source": "given"},
            "network": network,
            "recipe": {"threads": 1, **recipe},
            "finish": list(finish),
        }
    )


def splits(inputs, targets, task: Task, spec: InputSpec | None = None, *, numbers=None, target=((), ())) -> Splits:
    """Divide arrays in order: 60 % train, 20 % validation, 20 % test."""
    inputs, targets = torch.as_tensor(inputs), torch.as_tensor(targets)
    n = len(inputs)
    first, second = int(0.6 * n), int(0.8 * n)
    rows = {"train": slice(0, first), "validation": slice(first, second), "test": slice(second, n)}
    spec = spec or ArrayInput(shape=tuple(inputs.shape[1:]))
    return Splits(
        name="test",
        **{name: TensorSamples(inputs[row], targets[row]) for name, row in rows.items()},
        signature=Signature(inputs=spec, task=task),
        preprocessing=Preprocessing(
            inputs=numbers or NoNumbers(), target_mean=tuple(target[0]), target_scale=tuple(target[1])
        ),
        rows={name: np.arange(n)[row] for name, row in rows.items()},
        notes=(),
        digest=f"{n}-{float(inputs.double().sum()):.6f}-{float(targets.double().sum()):.6f}",
    )


def classes(count: int) -> Task:
    return Task(kind="multiclass", classes=tuple(f"class {i}" for i in range(count)))


def blobs(n=200, features=4, count=3, seed=0, spread=1.0) -> Splits:
    """Three Gaussian clouds."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(count, features)) * 2
    labels = generator.integers(count, size=n)
    inputs = (centres[labels] + spread * generator.normal(size=(n, features))).astype(np.float32)
    return splits(inputs, labels.astype(np.int64), classes(count))


def regression(n=200, features=3, outputs=1, noise=0.1, seed=0) -> Splits:
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(n, features)).astype(np.float32)
    weights = generator.normal(size=(features, outputs))
    targets = (50 * (inputs @ weights + noise * generator.normal(size=(n, outputs))) + 300).astype(np.float32)
    first = targets[: int(0.6 * n)]
    numbers = ArrayNumbers(mean=(0.0,) * features, scale=(1.0,) * features)
    task = Task(kind="regression", targets=tuple(f"y{i}" for i in range(outputs)))
    return splits(inputs, targets, task, numbers=numbers, target=(first.mean(0).tolist(), first.std(0).tolist()))


def pictures(n=120, seed=0, channels=1, side=8) -> Splits:
    """Bright left or bright right halves."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=n)
    images = generator.uniform(0, 100, size=(n, channels, side, side)).astype(np.float32)
    images[labels == 0, :, :, : side // 2] += 60
    images[labels == 1, :, :, side // 2 :] += 60
    numbers = ImageNumbers(mean=(80.0,) * channels, scale=(40.0,) * channels)
    spec = ImageInput(channels=channels, height=side, width=side)
    return splits(images, labels.astype(np.int64), classes(2), spec, numbers=numbers)


DENSE = {"family": "dense", "hidden": [8]}
