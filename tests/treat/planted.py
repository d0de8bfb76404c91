"""Problems with a planted sickness, and the gain of a treatment on rows that nothing was fitted on."""

import numpy as np
import torch

from equipoise.core.plan import Plan
from equipoise.core.signature import ArrayInput, ImageInput, Signature, Task
from equipoise.data.numbers import fit_numbers
from equipoise.data.samples import Splits, TensorSamples
from equipoise.fit.fit import fit
from equipoise.treat.catalogue import treatment_named

SEEDS = (0, 1)
DENSE = {"family": "dense", "hidden": [32]}


def sick(network=DENSE, *, training=None, finish=(), **recipe) -> Plan:
    """Return a plan that keeps its last network and is not governed, so that nothing hides a sickness."""
    return Plan.read(
        {
            "name": "sick",
            "data": {"source": "given", "training": training or {}},
            "network": dict(network),
            "recipe": {"threads": 1, "keep": "last", "governor": False, "epochs": 40, **recipe},
            "finish": list(finish),
        }
    )


def parts(train, held, task: Task, spec=None) -> Splits:
    """Return (inputs, targets) to train on and others, halved for validation and test; numbers are fitted."""
    half = len(held[0]) // 2
    pairs = {"train": train, "validation": tuple(x[:half] for x in held), "test": tuple(x[half:] for x in held)}
    samples = {
        name: TensorSamples(torch.as_tensor(np.asarray(inputs, np.float32)), torch.as_tensor(targets))
        for name, (inputs, targets) in pairs.items()
    }
    signature = Signature(inputs=spec or ArrayInput(shape=tuple(samples["train"].inputs.shape[1:])), task=task)
    return Splits(
        name="planted",
        train=samples["train"],
        validation=samples["validation"],
        test=samples["test"],
        signature=signature,
        preprocessing=fit_numbers(samples["train"], signature),
        rows={name: np.arange(len(one)) for name, one in samples.items()},
        notes=(),
        digest=f"{float(samples['train'].inputs.double().sum()):.6f}",
    )


def classes(count: int) -> Task:
    return Task(kind="binary" if count == 2 else "multiclass", classes=tuple(f"c{i}" for i in range(count)))


def clouds(seed, n=40, *, features=30, apart=1.5, flipped=0.0, shares=(0.5, 0.5), held=1000) -> Splits:
    """Return two Gaussian clouds that differ in two of many columns; some training labels are flipped."""
    draw = np.random.default_rng(seed)

    def drawn(rows, chances):
        labels = (draw.uniform(size=rows) >= chances[0]).astype(np.int64)
        inputs = draw.normal(size=(rows, features))
        inputs[:, :2] += apart * (2 * labels[:, None] - 1)
        return inputs, labels

    inputs, labels = drawn(n, shares)
    wrong = draw.uniform(size=n) < flipped
    return parts((inputs, np.where(wrong, 1 - labels, labels)), drawn(held, (0.5, 0.5)), classes(2))


def factors(seed, n=30, *, columns=60, noise=1.0, held=1000, held_noise=None) -> Splits:
    """Return many columns made of three hidden factors, one of which tells two classes apart."""
    draw = np.random.default_rng(seed)
    mixing = draw.normal(size=(3, columns))

    def drawn(rows, level):
        hidden = draw.normal(size=(rows, 3))
        return hidden @ mixing + level * draw.normal(size=(rows, columns)), (hidden[:, 0] > 0).astype(np.int64)

    return parts(drawn(n, noise), drawn(held, noise if held_noise is None else held_noise), classes(2))


def rings(seed, n=300) -> Splits:
    """Return points inside and outside of a circle: no straight line divides them."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(2, size=2 * n)
    radius = np.where(labels == 0, draw.uniform(0, 0.8, 2 * n), draw.uniform(1.2, 2, 2 * n))
    angle = draw.uniform(0, 2 * np.pi, 2 * n)
    inputs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return parts((inputs[:n], labels[:n]), (inputs[n:], labels[n:]), classes(2))


def pictures(inputs, labels, held_inputs, held_labels) -> Splits:
    """Return images (n, side, side) of values in 0..1 with two classes."""
    side = np.shape(inputs)[-1]
    spec = ImageInput(channels=1, height=side, width=side, low=0.0, high=1.0)
    train = np.asarray(inputs)[:, None].clip(0, 1), np.asarray(labels, np.int64)
    held = np.asarray(held_inputs)[:, None].clip(0, 1), np.asarray(held_labels, np.int64)
    return parts(train, held, classes(2), spec)


@torch.no_grad()
def accuracy(done) -> float:
    """Return the share of test rows that are right (regression: R2)."""
    inputs, targets = done.splits.test.inputs, done.splits.test.targets
    answer = done.network.answer(inputs)
    if not done.network.signature.task.classes:
        return float(1 - ((answer - targets) ** 2).sum() / ((targets - targets.mean(0)) ** 2).sum())
    return float((answer.argmax(1) == targets).double().mean())


@torch.no_grad()
def likelihood(done) -> float:
    """Return the mean log-likelihood of the test rows."""
    inputs, targets = done.splits.test.inputs, done.splits.test.targets
    chances = done.network.answer(inputs)[torch.arange(len(targets)), targets]
    return float(chances.clamp(min=1e-12).log().mean())


@torch.no_grad()
def recall(done) -> float:
    """Return the smallest share of a class that is found."""
    inputs, targets = done.splits.test.inputs, done.splits.test.targets
    right = done.network.answer(inputs).argmax(1) == targets
    return min(float(right[targets == label].double().mean()) for label in targets.unique())


def gains(name, plan: Plan, make, measure=accuracy, seeds=SEEDS) -> list[float]:
    """Return what a treatment gains on fresh rows for each seed, which draws data and training anew."""
    treated = treatment_named(name).apply(plan)
    data = [make(seed) for seed in seeds]
    before = [measure(fit(plan, seed, splits=one)) for seed, one in zip(seeds, data, strict=True)]
    after = [measure(fit(treated, seed, splits=one)) for seed, one in zip(seeds, data, strict=True)]
    return [two - one for one, two in zip(before, after, strict=True)]
