"""Samples beside their attributions, as a person would look at them."""

import torch
from torch import Tensor

from equipoise.core.figure import Tile
from equipoise.core.signature import ImageInput, InputSpec, SoundInput, TableInput, Task
from equipoise.data.tiles import tile
from equipoise.examine.explanation.explained import Explained, Sheet
from equipoise.examine.subject import Subject
from equipoise.networks.network import Network


def shown_beside(
    subject: Subject, network: Network, sheet: Sheet, attributions: Tensor, count: int
) -> tuple[Tile, ...]:
    """Return the first samples with their attributions.

    Args:
        subject: The subject.
        network: Its network, or a copy.
        sheet: The samples.
        attributions: One number a player (n, players).
        count: At most so many samples.
    """
    spec = subject.splits.signature.inputs
    with torch.no_grad():
        sure = Explained(network)(sheet.features, sheet.decided)
    column_of = _columns(network, sheet.inputs) if isinstance(spec, TableInput) else torch.empty(0)
    tiles: list[Tile] = []
    for k in range(min(count, len(sheet))):
        caption = _caption(subject.task, sheet.decided[k], float(sure[k]))
        own = attributions[k].detach().cpu()
        tiles.append(_tile(spec, sheet, k, own, column_of, caption))
    return tuple(tiles)


def _tile(spec: InputSpec, sheet: Sheet, k: int, own: Tensor, column_of: Tensor, caption: str) -> Tile:
    sample = sheet.inputs[k]
    of = sheet.players.of
    if isinstance(spec, ImageInput):
        # A foreign network without pre-processing, or ours: its features lie where the pixels lie.
        fits = sheet.players.picture and tuple(of.shape[1:]) == (spec.height, spec.width)
        return tile(spec, sample, caption, overlay=own[of[0]] if fits else None)
    if isinstance(spec, SoundInput):
        return tile(spec, sample, caption, overlay=_along(own, sheet, spec.samples))
    if isinstance(spec, TableInput):
        weights = torch.zeros(len(spec.columns), dtype=own.dtype)
        weights.index_add_(0, column_of, own[of.flatten()])
        return tile(spec, sample, caption, weights=weights)
    if sheet.tokens:
        return tile(spec, sample, caption, weights=own)
    weights = own[of.flatten()]
    return tile(spec, sample, caption, weights=weights if weights.numel() == sample.numel() else None)


def _along(own: Tensor, sheet: Sheet, length: int) -> Tensor:
    """Return attributions of steps (or of every feature of a step) stretched over a recording."""
    shape = sheet.players.of.shape
    steps = own[sheet.players.of.flatten()].reshape(shape)
    line = steps[:, 0] if len(shape) == 2 and sheet.players.count == shape[0] else steps.flatten(1).sum(1)
    return line[torch.arange(length) * len(line) // length]


@torch.no_grad()
def _columns(network: Network, inputs: Tensor) -> Tensor:
    """Return the table's column that each feature comes from, found by changing one column at a time."""
    features = network.preprocess(inputs)
    column_of = torch.zeros(features.shape[1], dtype=torch.int64)
    for column in range(inputs.shape[1]):
        for other in (
            inputs[:, column].roll(1),
            inputs[:, column] + 1.0,
            torch.full_like(inputs[:, column], torch.nan),
        ):
            changed = inputs.clone()
            changed[:, column] = other
            now = network.preprocess(changed)
            moved = ((now != features) & ~(now.isnan() & features.isnan())).any(0).cpu()
            column_of[moved] = column
    return column_of


def _caption(task: Task, decided: Tensor, sure: float) -> str:
    probability = torch.sigmoid(torch.tensor(sure)).item()
    if task.kind == "regression":
        return f"standardised value {sure:.2f}"
    if task.kind == "multilabel":
        label, there = divmod(int(decided), 2)
        return f"{'' if there else 'not '}{_named(task, label)}, {probability:.0%} sure"
    if task.kind == "sequence-labelling":
        return f"all steps, {probability:.0%} sure a step"
    return f"{_named(task, int(decided))}, {probability:.0%} sure"


def _named(task: Task, index: int) -> str:
    return task.classes[index] if index < len(task.classes) else f"cluster {index}"
