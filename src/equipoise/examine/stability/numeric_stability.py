"""Asks whether the network's answers survive arithmetic with fewer digits."""

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from equipoise.core.estimate import Estimate, Line
from equipoise.core.finding import Finding
from equipoise.core.signature import Task
from equipoise.data.samples import IGNORED
from equipoise.examine.conclude import conclude
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.examine.wording import count_of, percent_bracketed
from equipoise.examine.workload import affordable, seconds_per_sample
from equipoise.networks.network import Network
from equipoise.stats.intervals import mean, proportion_of

_CARD = Card(
    id="numeric-stability",
    theme="stability",
    title="Do its answers survive fewer digits?",
    why=(
        "A network computes with about seven digits, on an accelerator or in half precision with about three. Where "
        "large numbers cancel or activations explode, the digits that decide are lost: answers then differ between "
        "machines, between batch sizes and between training and serving, and cheaper arithmetic is not to be had."
    ),
    how=(
        "The network answers (at most 2,000) test samples three times: in double precision, which stands for the "
        'truth, in single precision, and with its layers in bfloat16 (autocast, as `precision = "bfloat16"` trains). '
        "`float32_error` and `bfloat16_error` are the mean distances of the answers from those in double precision: "
        "half the summed difference of the probabilities, or standard deviations of the targets, with Student's t "
        "interval. `float32_flips` and `bfloat16_flips` are the shares of decisions that differ, with Wilson's."
    ),
    verdicts=(
        "pass: single precision moves an answer by at most 0.001 and bfloat16 by at most 0.05. warn or fail: surely "
        "more than that, or than 0.01 and 0.2; when only bfloat16 does, keep the network in single precision."
    ),
    may_help=("standardise-inputs", "standardise-targets", "batch-norm", "layer-norm", "weight-decay", "spectral-norm"),
    sources=(
        "N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, SIAM 2002",
        "D. Kalamkar et al., A study of BFLOAT16 for deep learning training, 2019, arXiv 1905.12322",
    ),
    lines={
        "float32_error": Line(warn=0.001, fail=0.01),
        "bfloat16_error": Line(warn=0.05, fail=0.2),
    },
)

_MOST = 2000
_DECIDED = ("binary", "multiclass", "multilabel", "sequence-labelling")


@dataclass(frozen=True, slots=True)
class NumericStability:
    """Ask how far answers in single precision and in bfloat16 lie from those in double precision."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return 0.1 + 8 * seconds_per_sample(subject) * min(_MOST, len(subject.part("test")))

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: It neither decides nor gives values, or cannot be run in double precision.
        """
        task = subject.task
        if task.kind not in (*_DECIDED, "regression"):
            raise InapplicableError(f"a task of kind {task.kind} has neither decisions nor values that digits change")
        asked = subject.answers("test")
        count = affordable(subject, context, passes=8, most=_MOST)
        inputs, targets = asked.inputs[:count], asked.targets[:count]
        exact = _in_double(subject.network, inputs)
        if not np.isfinite(exact).all():
            raise InapplicableError("its answers are not all finite even in double precision; see data-quality")
        said = {"float32": _answers(subject.network, inputs)}
        notes = ["Computed on the processor of this machine; accelerators add up in other orders."]
        try:
            said["bfloat16"] = _in_bfloat16(subject.network, inputs)
        except RuntimeError as problem:
            notes.append(f"Not asked in bfloat16, in which this machine cannot run it ({_first_line(problem)}).")
        estimates = {f"{name}_error": _error(task, answer, exact, targets) for name, answer in said.items()}
        if task.kind != "regression":
            estimates |= {f"{name}_flips": _flips(task, answer, exact, targets) for name, answer in said.items()}
        return conclude(
            self.card,
            _claim(task, estimates, count),
            estimates,
            context.lines,
            assumptions=notes,
        )


@torch.no_grad()
def _answers(network: Network, inputs: Tensor) -> np.ndarray:
    said = torch.cat([network.answer(chunk) for chunk in inputs.split(256)])
    return said.double().cpu().numpy()


def _in_double(network: Network, inputs: Tensor) -> np.ndarray:
    doubled = copy.deepcopy(network).double().eval()
    try:
        return _answers(doubled, inputs.double() if inputs.is_floating_point() else inputs)
    except (RuntimeError, TypeError) as problem:
        raise InapplicableError(f"the network cannot be run in double precision ({_first_line(problem)})") from None


def _first_line(problem: Exception) -> str:
    return str(problem).partition("\n")[0][:120]


def _in_bfloat16(network: Network, inputs: Tensor) -> np.ndarray:
    with torch.autocast(inputs.device.type, torch.bfloat16):
        return _answers(network, inputs)


def _error(task: Task, said: np.ndarray, exact: np.ndarray, targets: np.ndarray) -> Estimate:
    """Return the mean distance of answers (n, ...) from the exact ones; one that is not finite lies 1 away."""
    apart, n = np.abs(said - exact), len(said)
    if task.kind == "regression":
        each = apart.reshape(n, -1).mean(1) / max(float(targets.std()), 1e-12)
    elif task.kind == "multilabel":
        each = apart.mean(1)
    else:
        each = (apart.sum(-1) / 2).reshape(n, -1).mean(1)
    found = mean(np.where(np.isfinite(each), each, 1.0))
    return found.replace(low=max(0.0, found.low))


def _flips(task: Task, said: np.ndarray, exact: np.ndarray, targets: np.ndarray) -> Estimate:
    """Return the share of samples with a decision that differs from the exact one, or with no decision."""
    several = task.kind == "multilabel"
    flipped = (said > 0.5) != (exact > 0.5) if several else said.argmax(-1) != exact.argmax(-1)
    if task.kind == "sequence-labelling":
        flipped = flipped & (targets != IGNORED)
    broken = ~np.isfinite(said)
    return proportion_of(flipped.reshape(len(said), -1).any(1) | broken.reshape(len(said), -1).any(1))


def _claim(task: Task, estimates: dict[str, Estimate], n: int) -> str:
    names = {"float32": "single precision", "bfloat16": "bfloat16"}
    unit = " standard deviations of the target" if task.kind == "regression" else " of its probability"
    told: list[str] = []
    for name, words in names.items():
        if f"{name}_error" in estimates:
            moved = f"{words} moves an answer by {estimates[f'{name}_error'].value:.2g}{unit}"
            flips = estimates.get(f"{name}_flips")
            told.append(
                moved if flips is None else f"{moved} and changes {percent_bracketed(flips, 2)} of the decisions"
            )
    return f"Against double precision, on {count_of(n, 'test sample')}, {'; '.join(told)}."
