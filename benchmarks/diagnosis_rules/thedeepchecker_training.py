"""The checks of TheDeepChecker during and after training, thresholds as published.

During: the loop learns one batch of 50 by heart for 200 steps, and activations, weights, gradients, updates and the
loss are looked at every tenth. After: a whole training, for labels that cannot be learned and modes that do not agree.
"""

import math
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from benchmarks.diagnosis_programs import Batch, Subject
from benchmarks.diagnosis_rules import watching
from benchmarks.diagnosis_rules.thedeepchecker_data import f_test, sample
from benchmarks.diagnosis_rules.watching import EpochEnd, Loop, layer_of
from benchmarks.diagnosis_rules.words import Cause, cause
from torch import Tensor

BATCH, STEPS, START, PERIOD, PATIENCE, BUFFER, WINDOW = 50, 200, 10, 10, 5, 10, 5
DEAD, DEAD_AT, UNITS = 1e-5, 95, 0.5
SATURATED, BINS = 0.85, 50
DEVIATION_LOW, DEVIATION_HIGH = 0.5, 2.0
NEGATIVE, DEAD_WEIGHTS = 0.95, 0.95
WEIGHTS_LARGE, WEIGHTS_GROW = 1e8, 2.0
GRADIENT_SMALL, GRADIENT_SHRINKS, GRADIENT_LARGE, GRADIENT_GROWS = 1e-6, 0.5, 1e6, 2.0
UPDATE_LOW, UPDATE_HIGH = -4.0, -1.0
LOSS_FALLS, LOSS_GROWS, SMOOTHNESS, CORRELATION = 0.05, 2.0, 0.5, 0.5
REGULARISER = 1.0
SIMILAR, LOSS_DIFFERS = 0.75, 0.5
OUTPUTS = ("varies", "above one", "negative")
"""What the outputs must show sooner or later, where the targets do."""
IMPROVES, LABEL_PATIENCE, FLAT = 0.1, 5, 1e-2
"""The first two of the label check are not published; these are ours."""


def found(symptom: str, where: str, evidence: str) -> Cause:
    """Return one of TheDeepChecker's warnings."""
    return cause("thedeepchecker", symptom, where, evidence)


def performance(given: Subject) -> Callable[[Tensor, Tensor], float]:
    """Return the metric of a task: accuracy of classes, mean absolute error of quantities."""
    if watching.classifies(given.train[1]):
        return lambda put, targets: watching.accuracy(put, targets, given.loss_name)
    return lambda put, targets: float((put - targets.reshape(put.shape)).abs().mean())


def smoothness(values: list[float]) -> float:
    """Return the share of steps at which a curve does not turn from rising to falling or back."""
    array = np.asarray(values)
    if len(array) < 2:
        return 1.0
    rising = array[1:] > array[:-1]
    return (len(array) - int(np.count_nonzero(rising[1:] != rising[:-1]))) / len(array)


def saturation(values: np.ndarray) -> np.ndarray:
    """Return the tool's saturation of each unit: 1 when every output sits at an end of [0, 1]; values (n, units)."""
    bins = np.floor(values * BINS)
    sums = np.zeros(values.shape[1])
    for one in np.unique(bins):
        sums += np.abs(np.where(bins == one, 2 * values - 1, 0.0).sum(0))
    return sums / len(values)


def units_last(values: Tensor) -> np.ndarray:
    """Return activations as (samples and places, units); channels are second in PyTorch."""
    if values.dim() > 3:
        values = values.movedim(1, -1)
    return values.reshape(-1, values.shape[-1]).numpy()


@dataclass(slots=True)
class Memory:
    """What the checks remember of the steps; a warning is kept once a layer."""

    given: Subject
    loop: Loop
    batch: Batch
    listening: bool = False
    raised: dict[tuple[str, str], Cause] = field(default_factory=dict)
    activations: dict[str, deque[Tensor]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    sizes: dict[tuple[str, str], deque[float]] = field(default_factory=dict)
    updates: dict[str, list[float]] = field(default_factory=dict)
    regularised: dict[str, deque[float]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(OUTPUTS, False))
    patience: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTPUTS, PATIENCE))
    step_losses: list[float] = field(default_factory=list)
    step_scores: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def say(self, symptom: str, where: str, evidence: str) -> None:
        """Keep a warning, unless it was said of this place before."""
        self.raised.setdefault((symptom, where), found(symptom, where, evidence))

    def sizes_of(self, kind: str, name: str, value: Tensor) -> list[float]:
        """Remember a mean size, and return the last ones."""
        series = self.sizes.setdefault((kind, name), deque(maxlen=BUFFER))
        series.append(float(value.abs().mean()))
        return list(series)


def while_overfitting(given: Subject) -> list[Cause]:
    """Learn one batch by heart and look at what happens inside."""
    memory = Memory(given, watching.begun(given), sample(given, BATCH))
    score, patience = performance(given), PATIENCE
    with torch.random.fork_rng(devices=[]), _listening(memory) as put:
        torch.manual_seed(given.seed + 1)
        for step in range(STEPS):
            before = {name: one.detach().clone() for name, one in memory.loop.network.named_parameters()}
            gradients = watching.gradients(given, memory.loop.network, memory.batch, training=True)
            put.clear()
            memory.listening = True
            memory.step_losses.append(memory.loop.step(memory.batch))
            memory.listening = False
            last = put[-1] if put else watching.outputs(memory.loop.network, memory.batch[0])
            memory.step_scores.append(score(last, memory.batch[1]))
            _outputs(memory, last, step)
            _inside(memory, step)
            _weights(memory, before, gradients, step)
            if not math.isfinite(memory.step_losses[-1]):
                memory.say("loss not finite", "loss", f"step {step + 1}")
                break
            if step % PERIOD == 0:
                _loss(memory)
            done = memory.scores and _perfect(given, memory.scores[-1])
            patience = patience - 1 if done else PATIENCE
            if not patience:
                break
    return list(memory.raised.values())


def _perfect(given: Subject, score: float) -> bool:
    return score == 1.0 if watching.classifies(given.train[1]) else score < 1e-3


@contextmanager
def _listening(memory: Memory) -> Any:
    """Collect the network's outputs, and those of its activations, from the forward passes of the loop itself."""
    put: list[Tensor] = []

    def heard(name: str) -> Callable[..., None]:
        def hook(_module: Any, _given: Any, output: Tensor) -> None:
            if memory.listening:
                memory.activations.setdefault(name, deque(maxlen=BUFFER)).append(output.detach().clone())

        return hook

    network = memory.loop.network
    hooks = [network.register_forward_hook(lambda _, __, output: put.append(output.detach().clone()))]
    calls = watching.forward(network, memory.batch[0][:2])
    for one in calls[:-1]:
        if one.kind in watching.ACTIVATIONS and one.name not in memory.kinds:
            memory.kinds[one.name] = one.kind
            hooks.append(one.module.register_forward_hook(heard(one.name)))
    memory.outputs["last"] = calls[-1]
    try:
        yield put
    finally:
        for hook in hooks:
            hook.remove()


def _as_probabilities(memory: Memory, put: Tensor) -> Tensor:
    """Return outputs after their activation, which the tool asks its user for."""
    if watching.takes_logits(memory.given.loss_name):
        return put.softmax(-1) if put.dim() > 1 and put.shape[-1] > 1 else put.sigmoid()
    return put.exp() if memory.outputs["last"].kind == "LogSoftmax" else put


def _outputs(memory: Memory, put: Tensor, step: int) -> None:
    state, where = memory.outputs, f"layer:{memory.outputs['last'].name}"
    rows, targets = put.reshape(len(put), -1), memory.given.train[1]
    state["varies"] |= bool((rows.var(0) > 0).all())
    state["above one"] |= bool((rows.abs() > 1).any())
    state["negative"] |= bool((rows < 0).any())
    if step % PERIOD:
        return
    if not bool(torch.isfinite(put).all()):
        memory.say("activation not finite", where, f"step {step + 1}")
        return
    wanted = {"varies": ("output constant", True)}
    if watching.classifies(targets):
        shares = _as_probabilities(memory, put)
        fine = bool(((shares >= 0) & (shares <= 1)).all())
        if shares.dim() > 1 and shares.shape[-1] > 1:
            fine = bool((shares >= 0).all()) and bool(((shares.sum(-1) - 1).abs() < 0.05).all())
        if not fine:
            memory.say("output invalid", where, "no probabilities")
    else:
        wanted["above one"] = ("output lacks magnitude", float(targets.max().abs()) > 1)
        wanted["negative"] = ("output lacks negatives", float(targets.min()) < 0)
    for name, (symptom, needed) in wanted.items():
        memory.patience[name] = memory.patience[name] - 1 if needed and not state[name] else PATIENCE
        if memory.patience[name] <= 0:
            memory.say(symptom, where, f"for {PATIENCE} looks")


def _inside(memory: Memory, step: int) -> None:
    if step < START or step % PERIOD:
        return
    for name, buffer in memory.activations.items():
        values, where = units_last(torch.cat([*buffer])), f"layer:{name}"
        if not np.isfinite(values).all():
            memory.say("activation not finite", where, f"step {step + 1}")
            continue
        if memory.kinds[name] in ("Sigmoid", "Tanh"):
            share = float((saturation(values) > SATURATED).mean())
            if share > UNITS:
                memory.say("saturated layer", where, f"{share:.0%} of the units")
        else:
            share = float((np.percentile(np.abs(values), DEAD_AT, axis=0) < DEAD).mean())
            if share > UNITS:
                memory.say("dead layer", where, f"{share:.0%} of the units")
        spread = float(values.std())
        bound = DEVIATION_LOW if spread < DEVIATION_LOW else DEVIATION_HIGH
        outside = not DEVIATION_LOW <= spread <= DEVIATION_HIGH
        if outside and not f_test(torch.as_tensor(values), bound):
            memory.say("unstable activation", where, f"deviation {spread:.2g}")


def _rates(series: list[float]) -> np.ndarray | None:
    if len(series) < WINDOW:
        return None
    tail = np.array(series[-WINDOW:])
    with np.errstate(divide="ignore", invalid="ignore"):
        return tail[1:] / tail[:-1]


def _weights(memory: Memory, before: dict[str, Tensor], gradients: dict[str, Tensor], step: int) -> None:
    now = step >= START and step % PERIOD == 0
    for name, parameter in memory.loop.network.named_parameters():
        value, where = parameter.detach(), layer_of(name)
        if not bool(torch.isfinite(value).all()):
            memory.say("weight not finite", where, f"step {step + 1}")
            continue
        sizes = memory.sizes_of("weight", name, value)
        if now:
            grows = _rates(sizes)
            if sizes[-1] > WEIGHTS_LARGE or (grows is not None and bool((grows >= WEIGHTS_GROW).all())):
                memory.say("diverging weights", where, f"mean size {sizes[-1]:.2g}")
        if value.dim() < 2 or name not in gradients:
            continue
        if now and float((value < 0).float().mean()) > NEGATIVE:
            memory.say("negative weights", where, f"{float((value < 0).float().mean()):.0%}")
        if now and float((value.abs() < DEAD).float().mean()) > DEAD_WEIGHTS:
            memory.say("dead weights", where, "near zero")
        _gradient(memory, name, gradients[name], now)
        _update(memory, name, before[name], value, step)
        _regulariser(memory, name, value, gradients[name])


def _gradient(memory: Memory, name: str, gradient: Tensor, now: bool) -> None:
    where = layer_of(name)
    if not bool(torch.isfinite(gradient).all()):
        memory.say("exploding gradient", where, "not finite")
        return
    sizes = memory.sizes_of("gradient", name, gradient)
    if not now:
        return
    rates = _rates(sizes)
    if sizes[-1] < GRADIENT_SMALL or (rates is not None and bool((rates <= GRADIENT_SHRINKS).all())):
        memory.say("vanishing gradient", where, f"mean size {sizes[-1]:.2g}")
    if sizes[-1] > GRADIENT_LARGE or (rates is not None and bool((rates >= GRADIENT_GROWS).all())):
        memory.say("exploding gradient", where, f"mean size {sizes[-1]:.2g}")


def _update(memory: Memory, name: str, before: Tensor, after: Tensor, step: int) -> None:
    scale = float(before.abs().mean())
    if not scale:
        return
    ratio = float((after - before).abs().mean()) / scale
    series = memory.updates.setdefault(name, [])
    series.append(math.log10(ratio) if ratio > 0 else 0.0)
    if not step or step % PERIOD:
        return
    mean, where = float(np.mean(series)), layer_of(name)
    series.clear()
    if mean == 0:
        memory.say("untrained weights", where, "no change")
    elif mean > UPDATE_HIGH:
        memory.say("updates fast", where, f"log10 {mean:.2f}")
    elif mean < UPDATE_LOW:
        memory.say("updates slow", where, f"log10 {mean:.2f}")


def _regulariser(memory: Memory, name: str, value: Tensor, gradient: Tensor) -> None:
    decay = float(memory.loop.optimizer.param_groups[0].get("weight_decay") or 0)
    if not decay or "AdamW" in type(memory.loop.optimizer).__name__:
        return  # no penalty in the loss
    series = memory.regularised.setdefault(name, deque(maxlen=WINDOW))
    series.append(decay * float(value.norm()) / (float(gradient.norm()) + 1e-16))
    if len(series) == WINDOW and min(series) >= REGULARISER:
        memory.say("overwhelming regularisation", "optimizer.weight_decay", f"{series[-1]:.2g} of the data's gradient")


def _loss(memory: Memory) -> None:
    memory.losses.append(float(np.mean(memory.step_losses)))
    memory.scores.append(float(np.mean(memory.step_scores)))
    memory.step_losses.clear()
    memory.step_scores.clear()
    losses = np.array(memory.losses)
    if len(losses) >= WINDOW:
        tail = losses[-WINDOW:]
        with np.errstate(divide="ignore", invalid="ignore"):
            falls, grows = (tail[:-1] - tail[1:]) / tail[:-1], tail[1:] / tail[:-1]
        if bool((falls < LOSS_FALLS).all()):
            memory.say("stagnated loss", "", "less than 5 % a window")
        if bool((grows >= LOSS_GROWS).all()):
            memory.say("diverging loss", "optimizer.lr", "doubles every window")
    if smoothness(memory.losses[-50:]) < SMOOTHNESS:
        memory.say("fluctuating loss", "", f"smoothness {smoothness(memory.losses[-50:]):.2f}")
    if len(losses) > 2 and losses.std() > 0 and np.std(memory.scores) > 0:
        correlation = abs(float(np.corrcoef(losses, memory.scores)[0, 1]))
        if correlation < CORRELATION:
            memory.say("loss unlike metric", "loss", f"correlation {correlation:.2f}")


# ---------------------------------------------------------------------- after training
def after_training(given: Subject) -> list[Cause]:
    """Train as the loop does; check whether the labels can be learned and whether both modes agree."""
    inputs, targets = given.validation if given.validation is not None else given.train
    held = (inputs[:64], targets[:64])
    losses: list[float] = []
    raised: dict[str, Cause] = {}

    def at_end(now: EpochEnd, loop: Loop) -> bool:
        losses.append(now.loss)
        if any(one.module.training for one in _moded(loop, held)) and now.epoch:
            for one in _modes(given, loop, held):
                raised.setdefault(one["evidence"][0][:12], one)
        return False

    watching.train(given, at_end)
    if unlearnable(losses):
        raised["labels"] = found("corrupted labels", "targets", "the loss does not move")
    return list(raised.values())


def unlearnable(losses: list[float]) -> bool:
    """Return whether a loss by epoch never improves for a while and hardly varies after the first epoch."""
    patience = LABEL_PATIENCE
    for before, after in pairwise(losses[1:]):
        gain = (before - after) / after if after else 0.0
        patience = patience - int(gain / IMPROVES) if gain >= IMPROVES else LABEL_PATIENCE
        if patience <= 0:
            return False
    return len(losses) > 3 and float(np.var(losses[1:])) <= FLAT


def _moded(loop: Loop, held: Batch) -> list[watching.Seen]:
    calls = watching.forward(loop.network, held[0][:2])
    return [one for one in calls if "Dropout" in one.kind or "BatchNorm" in one.kind]


def _modes(given: Subject, loop: Loop, held: Batch) -> list[Cause]:
    training = watching.outputs(loop.network, held[0], training=True)
    evaluated = loop.evaluate(held[0])
    raised = []
    similar = alignment(training.reshape(len(training), -1), evaluated.reshape(len(evaluated), -1))
    if similar <= SIMILAR:
        raised.append(found("modes differ", "loop.mode", f"similarity {similar:.2f}"))
    losses = [watching.loss_of(given, one, held[1]) for one in (training, evaluated)]
    if max(losses) > 0 and abs(losses[0] - losses[1]) / max(losses) > LOSS_DIFFERS:
        raised.append(found("modes differ", "loop.mode", f"losses {losses[0]:.3g} and {losses[1]:.3g}"))
    return raised


def alignment(one: Tensor, other: Tensor) -> float:
    """Return the debiased linear centred kernel alignment of two sets of features (n, d) (Kornblith et al., 2019)."""
    grams = [_centred(value.double() @ value.double().T) for value in (one, other)]
    norms = [float((gram * gram).sum()) for gram in grams]
    if min(norms) <= 0:
        return float("nan")
    return float((grams[0] * grams[1]).sum()) / math.sqrt(norms[0] * norms[1])


def _centred(gram: Tensor) -> Tensor:
    n = len(gram)
    gram = gram - torch.diag(gram.diagonal())
    means = gram.sum(0) / (n - 2)
    means = means - means.sum() / (2 * (n - 1))
    gram = gram - means[:, None] - means[None, :]
    return gram - torch.diag(gram.diagonal())
