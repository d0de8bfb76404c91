"""How much worse answers get when a feature's values are swapped among samples, or a word is hidden."""

from dataclasses import dataclass

import numpy as np
import tokenizers
import torch
from torch import Tensor

from equipoise.core.signature import Task, TextInput
from equipoise.examine.explanation.groups import Groups
from equipoise.examine.scoring import need_finite
from equipoise.networks.network import Network, answers
from equipoise.stats.metrics import negative_log_likelihood

_UNKNOWN = 1
_CLASSED = ("binary", "multiclass", "multilabel", "sequence-labelling")


@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """What features are worth to a network.

    Attributes:
        names: Name of each feature that differs between samples.
        places: Its group, or its token id.
        rises: Rise of each sample's loss when the feature is swapped, (n, features).
        used: Whether any answer changes at all, (features,).
        dependence: How far each answer moves when the whole input is swapped, (n,): total variation of probabilities,
            or the target's standard deviations.
        unit: Unit of the rises.
        notes: What was left out, and how many.
    """

    names: tuple[str, ...]
    places: tuple[int, ...]
    rises: np.ndarray
    used: np.ndarray
    dependence: np.ndarray
    unit: str
    notes: tuple[str, ...]


@torch.no_grad()
def permuted(
    network: Network, inputs: Tensor, targets: np.ndarray, groups: Groups, repeats: int, generator: torch.Generator
) -> Importance:
    """Return the importance of each group of values, swapped among samples (Breiman, 2001).

    Args:
        network: The network.
        inputs: Raw inputs (n, ...), at least two.
        targets: Their targets.
        groups: Which values belong together.
        repeats: Times each group is swapped.
        generator: Draws the swaps.
    """
    task = network.signature.task
    clean = answers(network, inputs).cpu().numpy()
    before = losses(task, targets, clean, clean)
    varying = [k for k in range(len(groups.names)) if _varies(inputs[:, groups.mask(k)])]
    rises = np.zeros((len(inputs), len(varying)))
    used = np.zeros(len(varying), dtype=bool)
    for column, group in enumerate(varying):
        mask = groups.mask(group).to(inputs.device)
        for _ in range(repeats):
            swapped = torch.where(mask, inputs[swap(len(inputs), generator)], inputs)
            said = answers(network, swapped).cpu().numpy()
            rises[:, column] += (losses(task, targets, said, clean) - before) / repeats
            used[column] |= _differs(said, clean)
    constant = len(groups.names) - len(varying)
    notes = (f"{constant} features are the same in every test sample and could not be swapped.",) if constant else ()
    names = tuple(groups.names[k] for k in varying)
    dependence = _moved(task, clean, clean[swap(len(inputs), generator).numpy()], targets)
    return Importance(names, tuple(varying), rises, used, dependence, _unit(task), notes)


@torch.no_grad()
def words_hidden(
    network: Network, inputs: Tensor, targets: np.ndarray, spec: TextInput, most: int, generator: torch.Generator
) -> Importance:
    """Return the importance of the commonest words, each replaced by the unknown word wherever it stands.

    Args:
        network: The network.
        inputs: Token ids (n, length).
        targets: Their targets.
        spec: Holds the tokenizer.
        most: At most so many words.
        generator: Draws whose answers are compared for the dependence on the input.
    """
    task = network.signature.task
    clean = answers(network, inputs).cpu().numpy()
    before = losses(task, targets, clean, clean)
    found = torch.zeros(spec.vocabulary, dtype=torch.int64)
    for row in inputs.cpu():
        found[row.unique()] += 1
    found[: _UNKNOWN + 1] = 0
    ids = [int(one) for one in found.argsort(descending=True, stable=True)[:most] if found[one] > 0]
    rises = np.zeros((len(inputs), len(ids)))
    used = np.zeros(len(ids), dtype=bool)
    for column, token in enumerate(ids):
        rows = (inputs == token).any(1).nonzero().squeeze(1)
        places = rows.cpu().numpy()
        hidden = inputs[rows].masked_fill(inputs[rows] == token, _UNKNOWN)
        said = answers(network, hidden).cpu().numpy()
        rises[places, column] = losses(task, targets[places], said, clean[places], spread_of=targets) - before[places]
        used[column] = _differs(said, clean[places])
    tokenizer = tokenizers.Tokenizer.from_str(spec.tokenizer)
    names = tuple(tokenizer.id_to_token(token) or f"#{token}" for token in ids)
    left = int((found > 0).sum()) - len(ids)
    notes = (f"{left} rarer words were not tried.",) if left > 0 else ()
    dependence = _moved(task, clean, clean[swap(len(inputs), generator).numpy()], targets)
    return Importance(names, tuple(ids), rises, used, dependence, _unit(task), notes)


def losses(
    task: Task, targets: np.ndarray, answer: np.ndarray, clean: np.ndarray, *, spread_of: np.ndarray | None = None
) -> np.ndarray:
    """Return each sample's loss (n,): nats, or squared error over the target's variance.

    Args:
        task: The task.
        targets: Targets of the samples.
        answer: Answers on changed inputs.
        clean: Answers on the unchanged ones, the truth of clustering.
        spread_of: Targets whose variance counts, when not `targets`.

    Raises:
        InapplicableError: Answers that are not finite.
    """
    need_finite(answer, "samples")
    if task.kind in _CLASSED:
        return negative_log_likelihood(targets, answer)
    if task.kind == "clustering":
        p, q = np.clip(clean, 1e-12, 1.0), np.clip(answer, 1e-12, 1.0)
        divergence: np.ndarray = (p * np.log(p / q)).sum(-1)
        return divergence
    known = targets if spread_of is None else spread_of
    variance = known.reshape(len(known), -1).astype(np.float64).var(0)
    squared = (targets - answer).reshape(len(answer), -1).astype(np.float64) ** 2
    return np.asarray((squared / np.where(variance > 0, variance, 1.0)).mean(1))


def swap(n: int, generator: torch.Generator) -> Tensor:
    """Return a random order of n positions in which none stays at its place (n of at least 2)."""
    order = torch.randperm(n, generator=generator)
    back = torch.empty_like(order)
    # Each takes the value of its neighbour on a random circle through all.
    back[order] = order.roll(1)
    return back


def _varies(values: Tensor) -> bool:
    flat = values.flatten(1)
    known = torch.where(flat != flat, torch.zeros_like(flat), flat)
    gaps = flat != flat
    return bool((known != known[:1]).any() or (gaps != gaps[:1]).any())


def _differs(said: np.ndarray, clean: np.ndarray) -> bool:
    scale = max(float(np.abs(clean).max(initial=0.0)), 1e-12)
    return bool(np.abs(said - clean).max(initial=0.0) > 1e-6 * scale)


def _moved(task: Task, one: np.ndarray, other: np.ndarray, targets: np.ndarray) -> np.ndarray:
    gap = np.abs(one.astype(np.float64) - other)
    if task.kind in ("binary", "multiclass", "clustering", "sequence-labelling"):
        total = 0.5 * gap.sum(-1)
        return np.asarray(total if total.ndim == 1 else total.mean(1))
    if task.kind == "multilabel":
        return np.asarray(gap.mean(1))
    spread = targets.reshape(len(targets), -1).astype(np.float64).std(0)
    return np.asarray((gap.reshape(len(gap), -1) / np.where(spread > 0, spread, 1.0)).mean(1))


def _unit(task: Task) -> str:
    return "share of the target's variance" if task.kind == "regression" else "nats"
