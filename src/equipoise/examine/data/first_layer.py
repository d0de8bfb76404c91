"""What reaches the first learned layer, and the moments of its features."""

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.core.signature import ArrayInput, ImageInput, InputSpec, TableInput
from equipoise.examine.data.moments import Moments
from equipoise.examine.subject import Subject
from equipoise.networks.walk import named_layers


@torch.no_grad()
def what_reaches(subject: Subject, inputs: Tensor) -> tuple[str, Tensor]:
    """Return the path of the first learned layer and what it is given for raw inputs (n, ...).

    Normalising layers in front of it are passed over, since what leaves them is what is learned from. Where the body
    holds its parameters itself, it counts as the layer. The network is left as it was.
    """
    network = subject.network
    learned = [
        (path, layer)
        for path, layer in named_layers(network, inputs[:2])
        if any(True for _ in layer.parameters()) and "Norm" not in type(layer).__name__
    ]
    given: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[object, ...]) -> None:
        del module
        if arguments and isinstance(arguments[0], Tensor):
            given.append(arguments[0].detach())

    if learned:
        path, layer = learned[0]
        handle = layer.register_forward_pre_hook(keep)
        try:
            network.scores(inputs)
        finally:
            handle.remove()
        if given and len(given[0]) == len(inputs):
            return path, given[0]
    return "body", network.preprocess(inputs)


def moments_of(values: Tensor, spec: InputSpec, names: tuple[str, ...]) -> Moments:
    """Return the moments of what is on one scale: columns, channels of images, features of sequences, else everything.

    Args:
        values: (n, ...), finite.
        spec: Kind of the raw inputs, which says what shares a scale.
        names: Names of the columns, used where there are as many.
    """
    array = values.to(torch.float64).cpu().numpy()
    n = len(array)
    if isinstance(spec, ImageInput) and array.ndim == 4:
        grouped = array.reshape(n, array.shape[1], -1)
    elif array.ndim == 2 and _has_columns(spec):
        grouped = array[:, :, None]
    elif array.ndim == 3 and isinstance(spec, ArrayInput) and spec.axes == "steps,features":
        grouped = array.transpose(0, 2, 1)
    else:
        grouped = array.reshape(n, 1, -1)
    groups = grouped.shape[1]
    kind = "channel" if array.ndim == 4 else "feature"
    found = names if len(names) == groups else tuple(f"{kind} {k + 1}" for k in range(groups))
    if groups == 1 and len(names) != 1:
        found = ("all values",)
    return Moments(found, grouped.mean(2), (grouped**2).mean(2))


def _has_columns(spec: InputSpec) -> bool:
    return isinstance(spec, TableInput) or (isinstance(spec, ArrayInput) and spec.axes == "features")


def encoded_names(spec: InputSpec, missing: tuple[bool, ...]) -> tuple[str, ...]:
    """Return names of a table's encoded features: columns, one a category, then indicators of missing cells."""
    if not isinstance(spec, TableInput):
        return ()
    names: list[str] = []
    for column in spec.columns:
        names += [f"{column.name} = {one}" for one in column.categories] if column.kind == "category" else [column.name]
    flags = [f"{column.name} is missing" for column, flag in zip(spec.columns, missing, strict=False) if flag]
    return (*names, *flags)


def in_play(values: Tensor, moments: Moments) -> np.ndarray:
    """Return which groups have a scale: not constant and, where each is one value a sample, not only 0 and 1."""
    kept = moments.deviation > 1e-9 * np.maximum(np.abs(moments.mean), 1e-9)
    if values.ndim == 2 and values.shape[1] == len(kept):
        flags = ((values == 0) | (values == 1)).all(0).cpu().numpy()
        kept &= ~flags
    chosen: np.ndarray = kept
    return chosen
