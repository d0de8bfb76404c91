"""Built Keras models as torch modules: converted where every layer has an equal, behind an adapter otherwise."""

from typing import Any

import torch
from torch import nn

from equipoise.networks.keras_adapter import KerasAdapter
from equipoise.networks.keras_chain import NotConvertibleError
from equipoise.networks.keras_convert import convert

_TOLERANCE = 1e-4
"""Largest relative difference between a Keras model and its conversion before the conversion is thrown away."""

_PENALTIES = ("kernel_regularizer", "bias_regularizer", "activity_regularizer", "recurrent_regularizer")


def to_torch(model: Any) -> tuple[nn.Module, bool, tuple[str, ...]]:
    """Return a built Keras model as torch layers, or behind an adapter where a layer has no equal.

    A conversion is believed only after both gave the same numbers on random inputs. The model is copied and left as it
    is.

    Returns:
        The module, whether it was converted, and sentences that say what was done.
    """
    notes: tuple[str, ...] = ()
    penalised = sum(any(getattr(layer, name, None) for name in _PENALTIES) for layer in model.layers)
    if penalised:
        notes = (f"The weight penalties of {penalised} Keras layers are left out; use `recipe.l1` and `recipe.l2`.",)
    try:
        converted = convert(model)
        difference = _difference(model, converted)
    except NotConvertibleError as problem:
        return KerasAdapter(model), False, (f"The Keras model runs through an adapter: {problem}", *notes)
    if not difference <= _TOLERANCE:
        note = f"The Keras model runs through an adapter: its conversion differs by {difference:.1e}."
        return KerasAdapter(model), False, (note, *notes)
    said = f"The Keras layers were converted to torch layers; outputs differ by {difference:.0e} of the largest."
    return converted, True, (said, *notes)


def rebuild_torch(model: Any, *, converted: bool) -> nn.Module:
    """Return what `to_torch` once made of a model of the same configuration."""
    return convert(model) if converted else KerasAdapter(model)


def _difference(model: Any, converted: nn.Module) -> float:
    """Return the largest difference of outputs on random inputs, relative to the largest output."""
    shape = [4, *(4 if side is None else side for side in model.input_shape[1:])]
    generator = torch.Generator().manual_seed(0)
    tables = [one for one in converted.modules() if isinstance(one, nn.Embedding)]
    inputs = torch.randn(shape, generator=generator)
    if tables:
        inputs = torch.randint(0, tables[0].num_embeddings, shape, generator=generator)
    with torch.no_grad():
        theirs = model(inputs, training=False)
        ours = converted.eval()(inputs)
    converted.train()
    if theirs.shape != ours.shape:
        return float("inf")
    return float((theirs - ours).abs().max() / theirs.abs().max().clamp(min=1e-6))
