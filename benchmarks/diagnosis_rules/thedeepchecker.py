"""The checks of TheDeepChecker (Ben Braiek and Khomh, TOSEM 2022), thresholds as published: before the first step.

Data, initial weights and biases, initial loss, numeric against automatic gradients, one batch learned by heart,
dependence on the data and of samples on each other. `thedeepchecker_training.py` holds what is checked during and
after. Each check says what it saw the first time only.
"""

import copy
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from benchmarks.diagnosis_programs import Batch, Subject
from benchmarks.diagnosis_rules import thedeepchecker_training, watching
from benchmarks.diagnosis_rules.thedeepchecker_data import balance, f_test, labels, sample
from benchmarks.diagnosis_rules.watching import layer_of
from benchmarks.diagnosis_rules.words import Cause, cause, verdict
from torch import Tensor

CLOSE = 1e-2
RANGES = ((0.0, 1.0), (-1.0, 1.0))
"""Ranges (minimum, maximum) of normalised data."""
MANY_COLUMNS = 50
"""Tables wider than this are pictures laid flat, whose pixels the tool's user declares to be of one kind."""
BALANCE = 0.5
VARIATION = 1e-3
LOSS_DEVIATION = 1.0
ONE_BATCH, ONE_BATCH_STEPS = 16, 1000
MISLABELLED, MEAN_ERROR = 0.05, 1e-3
LOSS_SANITY, LOSS_SANITY_SMOOTH, SMOOTH = 1e-8, 1e-5, 0.95
GRADIENT_ERROR, GRADIENT_SAMPLES, GRADIENT_COORDINATES, GRADIENT_DELTA = 0.01, 8, 8, 1e-5
INDEPENDENCE_SAMPLES, INDEPENDENCE_TRIALS = 32, 10
LAST_LOSSES = 100


def found(symptom: str, where: str, evidence: str) -> Cause:
    """Return one of TheDeepChecker's warnings."""
    return cause("thedeepchecker", symptom, where, evidence)


def normalised(values: np.ndarray) -> bool:
    """Return whether one column is in a usual range, or has mean 0 and deviation 1."""
    low, high = float(values.min()), float(values.max())
    if any(abs(low - a) <= CLOSE and abs(high - b) <= CLOSE for a, b in RANGES):
        return True
    return abs(float(values.std()) - 1) <= CLOSE and abs(float(values.mean())) <= CLOSE


def data(given: Subject) -> list[Cause]:
    """Check inputs and targets: constant, unnormalised, unbalanced."""
    inputs, targets = given.train
    values = inputs.double().numpy()
    alike = values.ndim != 2 or values.shape[1] > MANY_COLUMNS  # what its user declares as homogeneous
    columns = [values.ravel()] if alike else list(values.T)
    raised = []
    if any(one.std() == 0 for one in columns):
        raised.append(found("features constant", "inputs", "a column"))
    if not all(normalised(one) for one in columns if one.std() > 0):
        raised.append(found("features unnormalised", "inputs", "a column"))
    if watching.classifies(targets):
        if balance(targets) < BALANCE:
            raised.append(found("unbalanced labels", "targets", f"balance {balance(targets):.2f}"))
    elif not all(normalised(one) for one in targets.double().reshape(len(targets), -1).numpy().T):
        raised.append(found("targets unnormalised", "targets", "a column"))
    return raised


def initial_weights(given: Subject) -> list[Cause]:
    """Check the spread of the initial weights against He, Glorot and LeCun, and the biases against zero."""
    calls = watching.forward(given.network, given.train[0][:2])
    activation = next((one.kind for one in calls if one.kind in watching.ACTIVATIONS), "")
    raised = []
    named = dict(given.network.named_parameters())
    for name, value in named.items():
        if value.dim() < 2:
            continue
        fan_in, fan_out = value[0].numel(), len(value) * value[0][0].numel()
        tests = {
            "ReLU": f_test(value.detach(), math.sqrt(2 / fan_in)),
            "Tanh": f_test(value.detach(), math.sqrt(2 / (fan_in + fan_out))),
            "Sigmoid": f_test(value.detach(), math.sqrt(1 / fan_in)),
        }
        fine = tests[activation] if activation in tests else any(tests.values())
        if value.numel() > 1 and not fine:
            raised.append(found("poor initial weights", layer_of(name), f"deviation {float(value.detach().std()):.3g}"))
    return raised + _initial_biases(given, named)


def _initial_biases(given: Subject, named: dict[str, Tensor]) -> list[Cause]:
    biases = {name: value.detach() for name, value in named.items() if name.endswith("bias") and value.dim() == 1}
    if not biases:
        return [found("poor initial bias", "", "there is none")]
    targets = given.train[1]
    last = [*biases][-1]
    if watching.classifies(targets):
        if balance(targets) < BALANCE:
            return [found("poor initial bias", layer_of(last), "zero")] if float(biases[last].sum()) == 0 else []
        return [
            found("poor initial bias", layer_of(name), "not zero")
            for name, value in biases.items()
            if float(value.sum()) != 0
        ][:1]
    columns = targets.double().reshape(len(targets), -1)
    steady = columns.std(0) <= VARIATION * columns.mean(0).abs()
    off = (biases[last].double() - columns.mean(0)).abs() > CLOSE if len(biases[last]) == columns.shape[1] else steady
    if not bool((steady & off).any()):
        return []
    return [found("poor initial bias", layer_of(last), "not the mean of a steady target")]


def initial_loss(given: Subject) -> list[Cause]:
    """Check that the loss does not grow with the number of rows, and starts near that of equally likely classes."""
    inputs, targets = sample(given, 32)
    sizes = [2**k for k in range(1, 6)]
    batches = [_repeated((inputs, targets), size) for size in sizes]
    losses = [watching.loss_on(given, given.network, one, training=True) for one in batches]
    raised = []
    if all(math.isfinite(one) and one != 0 for one in losses):
        rates = [round(after / before) for before, after in pairwise(losses)]
        if all(one == 2 for one in rates):
            raised.append(found("loss is not averaged", "loss", "twice the rows, twice the loss"))
    if watching.classifies(given.train[1]):
        wide = targets.dim() > 1 and targets.shape[1] > 1
        count = targets.shape[1] if wide else max(2, int(labels(given.train[1]).max()) + 1)
        expected, first = math.log(count), watching.loss_on(given, given.network, (inputs, targets), training=True)
        if not abs(first - expected) < LOSS_DEVIATION * expected:
            raised.append(found("poor initial loss", "", f"{first:.3g}, expected {expected:.3g}"))
    return raised


def _repeated(batch: Batch, times: int) -> Batch:
    return torch.cat([batch[0]] * times), torch.cat([batch[1]] * times)


def numeric_gradients(given: Subject) -> list[Cause]:
    """Check automatic against numeric gradients on a few coordinates of each weight, in double precision."""
    loop = watching.begun(given)
    batch = sample(given, 32)
    for _ in range(10):
        loop.step(batch)
    few = sample(given, GRADIENT_SAMPLES)
    try:
        network = copy.deepcopy(loop.network).double()
        inputs = few[0].double() if few[0].is_floating_point() else few[0]
        targets = few[1].double() if few[1].is_floating_point() else few[1]
        automatic = watching.gradients(given, network, (inputs, targets))
    except (RuntimeError, TypeError, ValueError):
        return []  # a network or a loss that insists on single precision
    raised = []
    for name, value in network.named_parameters():
        if value.dim() < 2:
            continue
        at = torch.randperm(value.numel(), generator=torch.Generator().manual_seed(0))[:GRADIENT_COORDINATES]
        numeric = torch.stack([_difference(given, network, value, int(one), (inputs, targets)) for one in at])
        exact = automatic[name].flatten()[at]
        error = float((exact - numeric).norm() / (exact.norm() + numeric.norm()))
        if error > GRADIENT_ERROR:
            raised.append(found("wrong gradient", layer_of(name), f"relative error {error:.2g}"))
    return raised


def _difference(given: Subject, network: Any, value: Tensor, at: int, batch: Batch) -> Tensor:
    flat, losses = value.data.view(-1), []
    before = flat[at].item()
    for sign in (1, -1):
        flat[at] = before + sign * GRADIENT_DELTA
        losses.append(watching.loss_on(given, network, batch))
    flat[at] = before
    return torch.tensor((losses[0] - losses[1]) / (2 * GRADIENT_DELTA), dtype=torch.double)


def one_batch(given: Subject) -> list[Cause]:
    """Check that one batch is learned by heart, but not to a loss of nothing, and that its inputs matter."""
    batch = sample(given, ONE_BATCH)
    losses, scores = _fitted(given, batch)
    if not all(math.isfinite(one) for one in losses):
        return [found("loss not finite", "loss", "on one batch"), found("cannot fit one batch", "", "not finite")]
    classes = watching.classifies(given.train[1])
    failed = 1 - max(scores) > MISLABELLED if classes else min(scores) > MEAN_ERROR
    best = max(scores) if classes else min(scores)
    raised = [found("cannot fit one batch", "", f"best {best:.3g}")] if failed else []
    least, smooth = min(losses), thedeepchecker_training.smoothness(losses)
    if least <= LOSS_SANITY or (least <= LOSS_SANITY_SMOOTH and smooth > SMOOTH):
        return [*raised, found("zero loss", "", f"{least:.2g}")]
    if failed:
        blank, _ = _fitted(given, (torch.zeros_like(batch[0]), batch[1]))
        if all(math.isfinite(one) for one in blank) and not _differ(losses[-LAST_LOSSES:], blank[-LAST_LOSSES:]):
            raised.append(found("no dependence on data", "", "the same loss with inputs of zero"))
    return raised


def _fitted(given: Subject, batch: Batch) -> tuple[list[float], list[float]]:
    loop, losses, scores = watching.begun(given), [], []
    score = thedeepchecker_training.performance(given)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.seed + 1)
        for k in range(ONE_BATCH_STEPS):
            losses.append(loop.step(batch))
            if not math.isfinite(losses[-1]):
                break
            if k % 10 == 9:
                scores.append(score(watching.outputs(loop.network, batch[0], training=loop.network.training), batch[1]))
    return losses, scores or [0.0 if watching.classifies(given.train[1]) else math.inf]


def _differ(one: list[float], other: list[float]) -> bool:
    """Return whether two samples of losses differ significantly (Welch's t-test at 5 %)."""
    from scipy import stats

    means, spreads = (np.mean(one), np.mean(other)), (np.std(one, ddof=1), np.std(other, ddof=1))
    if max(spreads) <= 1e-9 * max(abs(mean) for mean in means):
        return bool(not np.isclose(*means, rtol=1e-6))
    sizes = (len(one), len(other))
    figures = (means[0], spreads[0], sizes[0], means[1], spreads[1], sizes[1])
    return bool(stats.ttest_ind_from_stats(*figures, equal_var=False).pvalue < 0.05)


def independence(given: Subject) -> list[Cause]:
    """Check that the first sample's output has no gradient by the inputs of the others."""
    if not given.train[0].is_floating_point():
        return []
    loop, batch = watching.begun(given), sample(given, INDEPENDENCE_SAMPLES)
    sums = 0.0
    for _ in range(INDEPENDENCE_TRIALS):
        inputs = batch[0].clone().requires_grad_()
        with torch.enable_grad(), watching.aside(loop.network, training=False):
            put = loop.network(inputs)[0].sum()
            (slope,) = torch.autograd.grad(put, inputs, allow_unused=True) if put.requires_grad else (None,)
        sums += float(slope[1:].sum()) if slope is not None else 0.0
        loop.step(batch)
    last = watching.forward(loop.network, batch[0][:2])[-1].name
    return [found("samples depend on each other", f"layer:{last}", f"gradient {sums:.2g}")] if sums != 0 else []


CHECKS: tuple[Callable[[Subject], list[Cause]], ...] = (
    data,
    initial_weights,
    initial_loss,
    one_batch,
    independence,
    numeric_gradients,
    thedeepchecker_training.while_overfitting,
    thedeepchecker_training.after_training,
)


def judge(given: Subject) -> dict[str, Any]:
    """Return what TheDeepChecker finds in a training."""
    return verdict([one for check in CHECKS for one in check(given)])
