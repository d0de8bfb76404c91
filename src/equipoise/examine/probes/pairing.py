"""Which ends of networks, losses and targets go together, and what is wrong where they do not."""

from dataclasses import dataclass

import torch

from equipoise.core.estimate import Verdict
from equipoise.examine.probes.contract import Contract

_ONE_OF = "one of several classes"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something about outputs, loss and targets that does not go together.

    Attributes:
        sentence: What it is and what cures it.
        where: Places, likeliest first.
        suggests: Faults with their weight in nats.
        verdict: How bad it is.
    """

    sentence: str
    where: tuple[str, ...]
    suggests: dict[str, float]
    verdict: Verdict = Verdict.FAIL


def mismatches(given: Contract) -> list[Mismatch]:
    """Return everything that does not go together, worst first."""
    rules = (_fixed_end, _sign, _indifferent, _wrong_kind_of_input, _several_answers, _out_of_reach, _targets_of_loss)
    if given.task.kind == "opaque":  # what outputs and targets mean, only the loss knows
        rules = (_fixed_end, _indifferent)
    found = [one for rule in rules if (one := rule(given)) is not None]
    named = {fault for one in found for fault in one.suggests}
    if "loss_mismatch" not in named and (one := _loss_of_labels(given)) is not None:
        found.append(one)
    return sorted(found, key=lambda one: -max(one.suggests.values(), default=0.0))


def _fixed_end(given: Contract) -> Mismatch | None:
    """Outputs that no training can make right: constant, or tied across samples."""
    kind, last = given.end.kind, given.where_last
    if kind == "constant":
        value = given.end.low
        what = "softmax over a single unit is always 1" if abs(value - 1) < 1e-6 else "nothing can change that"
        cure = "Use a sigmoid (yes or no) or no activation (quantities) on a single output."
        sentence = f"The output is {value:.3g} whatever the inputs and weights are: {what}. {cure}"
        return Mismatch(sentence, (last,), {"wrong_output_activation": 7.0})
    if kind == "softmax over samples":
        sentence = "Outputs sum to 1 over the samples of a batch instead of over the classes. Use softmax(dim=-1)."
        return Mismatch(sentence, (last,), {"batch_mixing": 7.0, "wrong_output_activation": 1.0})
    return None


def _sign(given: Contract) -> Mismatch | None:
    if given.loss.sign >= 0 or given.end.kind in ("constant", "softmax over samples"):
        return None
    sentence = "The loss falls as outputs move away from their targets. Minimise the negative of it."
    if given.loss.form == "unknown":  # targets may mean something else than what outputs should be
        return Mismatch(sentence, ("loss",), {"gradient_ascent": 2.0}, Verdict.WARN)
    return Mismatch(sentence, ("loss",), {"gradient_ascent": 6.0})


def _indifferent(given: Contract) -> Mismatch | None:
    if not given.loss.indifferent and not (given.columns == 1 and given.loss.normalises):
        return None
    sentence = f"The loss does not depend on the {given.columns} output(s) at all."
    cure = "Use binary cross-entropy on a single output." if given.columns == 1 else "Check what it computes."
    return Mismatch(f"{sentence} {cure}", ("loss",), {"loss_mismatch": 5.0})


def _wrong_kind_of_input(given: Contract) -> Mismatch | None:
    wants, kind, last = given.loss.accepts, given.end.kind, given.where_last
    name = _name(given)
    if kind in ("constant", "softmax over samples"):
        return None
    if wants == "logits":
        return _into_logits(given, name)
    if wants == "log-probabilities" and kind not in ("log-softmax", "non-positive"):
        sentence = f"{name} wants log-probabilities, but outputs are {_said(given)}."
        cure = "Use cross-entropy on logits, or end with log_softmax."
        activation = 3.0 if kind == "unbounded" else 1.5
        faults = {"loss_mismatch": 5.0, "wrong_output_activation": activation}
        return Mismatch(f"{sentence} {cure}", ("loss", last), faults)
    if wants == "probabilities" and kind in (
        "unbounded",
        "rectified",
        "tanh",
        "positive",
        "non-positive",
        "log-softmax",
    ):
        if kind == "positive" and given.loss.normalises:
            return None
        below = {"flat": "has no gradient below zero", "not finite": "is undefined below zero", "error": "refuses that"}
        note = f", and {below[given.loss.below_zero]}" if given.loss.below_zero in below else ""
        end = "softmax over the classes" if given.task.categorical else "a sigmoid"
        sentence = f"{name} wants probabilities, but outputs are {_said(given)}{note}. End the network with {end}."
        faults = {"wrong_output_activation": 5.5, "loss_mismatch": 3.5 if kind in ("unbounded", "log-softmax") else 1.0}
        return Mismatch(sentence, (last, "loss"), faults)
    return None


def _into_logits(given: Contract, name: str) -> Mismatch | None:
    kind, last = given.end.kind, given.where_last
    began = f"{name} applies its own {'softmax' if given.columns > 1 else 'sigmoid'}, but outputs are {_said(given)}"
    if kind in ("softmax", "sigmoid"):
        faults = {"double_softmax": 6.0, "wrong_output_activation": 1.5}
        if kind == "sigmoid" and given.task.categorical:
            faults = {"double_softmax": 3.5, "wrong_output_activation": 4.5}
        return Mismatch(f"{began}: no answer can be sure. Remove the last activation.", (last, "loss"), faults)
    if kind in ("rectified", "tanh", "positive", "non-positive"):
        return Mismatch(f"{began}. Remove the last activation.", (last,), {"wrong_output_activation": 4.5})
    return None


def _several_answers(given: Contract) -> Mismatch | None:
    """Softmax where labels do not exclude each other, or sigmoids where they do."""
    kind, task, last = given.end.kind, given.task, given.where_last
    if task.kind == "multilabel" and (kind == "softmax" or _softmax_inside(given)):
        share = float((given.all_targets.double().sum(task.axis) != 1).double().mean())
        sentence = f"Outputs share out one answer, but {share:.0%} of the samples do not have exactly one label."
        if kind == "softmax":
            return Mismatch(f"{sentence} End with a sigmoid.", (last,), {"wrong_output_activation": 6.0})
        return Mismatch(f"{sentence} Use binary cross-entropy.", ("loss",), {"loss_mismatch": 4.5})
    one_way = given.loss.form == "cross-entropy of probabilities"
    if task.categorical and kind == "sigmoid" and given.columns > 1 and one_way:
        sentence = f"{_name(given)} rewards high outputs only, but each output is a sigmoid of its own, for {_ONE_OF}."
        return Mismatch(
            f"{sentence} End with softmax.", (last,), {"wrong_output_activation": 5.0, "loss_mismatch": 1.0}
        )
    return None


def _softmax_inside(given: Contract) -> bool:
    return given.loss.form in ("cross-entropy of logits", "cross-entropy of probabilities")


def _out_of_reach(given: Contract) -> Mismatch | None:
    """Targets that the last activation cannot produce, under a loss that compares values."""
    bounds = {"softmax": (0.0, 1.0), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
    open_above = {"rectified": (0.0, torch.inf), "positive": (0.0, torch.inf), "non-positive": (-torch.inf, 0.0)}
    reach = (bounds | open_above).get(given.end.kind)
    if reach is None or given.loss.accepts not in ("values", "unknown") or given.task.kind == "classes":
        return None
    targets = given.all_targets.double()
    slack = 0.02 * (reach[1] - reach[0]) if given.end.kind in bounds else 1e-6
    share = float(((targets < reach[0] - slack) | (targets > reach[1] + slack)).double().mean())
    if share > 0.005:
        sentence = (
            f"{share:.0%} of the targets (from {given.task.low:.3g} to {given.task.high:.3g}) are out of reach of "
            f"outputs that are {_said(given)}. Remove the last activation."
        )
        faults = {"wrong_output_activation": 3.0 + 3.0 * min(1.0, share / 0.1)}
        if given.task.kind == "values" and given.end.kind in bounds:
            faults["unscaled_target"] = 2.5
        return Mismatch(sentence, (given.where_last, "targets"), faults)
    if given.task.of_labels and given.end.kind in ("rectified", "positive"):
        sentence = f"Outputs for labels are {_said(given)}: they pass 1, and get no gradient at 0. End with a sigmoid."
        return Mismatch(sentence, (given.where_last,), {"wrong_output_activation": 3.5}, Verdict.WARN)
    return None


def _targets_of_loss(given: Contract) -> Mismatch | None:
    """Targets that the loss has no meaning for: quantities under a cross-entropy, labels other than 0 and 1."""
    form, task = given.loss.form, given.task
    if "cross-entropy" not in form and form != "negative log-likelihood":
        return None
    inside = task.low >= -1e-6 and task.high <= 1 + 1e-6
    if task.kind == "values" and not inside:
        sentence = f"{_name(given)} takes targets from 0 to 1, not quantities from {task.low:.3g} to {task.high:.3g}."
        faults = {"loss_mismatch": 6.0, "wrong_labels": 1.0, "unscaled_target": 1.0}
        return Mismatch(f"{sentence} Use squared error.", ("loss", "targets"), faults)
    if task.kind == "binary" and not inside:
        sentence = (
            f"{_name(given)} takes labels 0 and 1, not {task.low:g} and {task.high:g}. Bring the labels to 0 and 1."
        )
        return Mismatch(sentence, ("targets", "loss"), {"wrong_labels": 4.0, "loss_mismatch": 4.0})
    return None


def _loss_of_labels(given: Contract) -> Mismatch | None:
    """A loss of quantities for labels: it trains, but slower and with less to tell sure from unsure."""
    if given.loss.accepts != "values" or not given.task.of_labels:
        return None
    name = "A loss of quantities" if given.loss.form == "unknown" else given.loss.form.capitalize()
    sentence = f"{name} judges labels ({given.task.kind}), which it can, but slowly."
    cure = "Use cross-entropy on logits."
    return Mismatch(f"{sentence} {cure}", ("loss",), {"loss_mismatch": 1.5}, Verdict.WARN)


def _name(given: Contract) -> str:
    form = given.loss.form
    return "The loss" if form == "unknown" else form[0].upper() + form[1:]


def _said(given: Contract) -> str:
    words = {
        "softmax": "softmax probabilities",
        "sigmoid": "between 0 and 1",
        "tanh": "between -1 and 1",
        "rectified": "rectified, never below 0",
        "positive": "always positive",
        "non-positive": "never positive",
        "log-softmax": "log-probabilities",
        "unbounded": "unbounded numbers",
    }
    return words.get(given.end.kind, given.end.kind)
