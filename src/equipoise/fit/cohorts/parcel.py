"""What travels between processes: data and trained networks as plain values and one block of tensors each."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from equipoise.core.plan import Plan
from equipoise.data.samples import Samples, Splits, TensorSamples
from equipoise.fit.fitted import Fit
from equipoise.networks.build import build
from equipoise.networks.ensemble import join, member_plan
from equipoise.networks.network import Network
from equipoise.networks.tensors import load_tensors, unique_tensors

PARTS = ("train", "validation", "test")

KNOWN = ("network", "plan", "seed", "splits")
"""What of a fit whoever asked for it has already, or builds anew."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """Plain values and the bytes of tensors (safetensors).

    Attributes:
        values: Records, arrays, strings and numbers by name.
        tensors: All tensors.
        splits: Of a fit: the data it was trained on, where those are not the ones that were given.
    """

    values: dict[str, Any]
    tensors: bytes
    splits: "Parcel | None" = None


def can_travel(splits: Splits) -> bool:
    """Return whether data lie in memory, so that another process can be given them."""
    return all(splits.part(part).resident for part in PARTS)


def pack_splits(splits: Splits) -> Parcel:
    """Return data as a parcel.

    Args:
        splits: Data that lie in memory.
    """
    tensors: dict[str, Tensor] = {}
    for part in PARTS:
        inputs, targets = _whole(splits.part(part))
        tensors |= {f"{part}.inputs": inputs.contiguous(), f"{part}.targets": targets.contiguous()}
    return Parcel({name: value for name, value in _fields(splits).items() if name not in PARTS}, _saved(tensors))


def unpack_splits(parcel: Parcel) -> Splits:
    """Return the data of a parcel."""
    tensors = load(parcel.tensors)
    parts: dict[str, Any] = {
        part: TensorSamples(tensors[f"{part}.inputs"], tensors[f"{part}.targets"]) for part in PARTS
    }
    return Splits(**parcel.values, **parts)


def pack_fit(fit: Fit, given: Splits | None = None) -> Parcel:
    """Return a finished fit as a parcel, without its plan, and without its data unless these were changed.

    Args:
        fit: The fit.
        given: The data that it was asked to train on; without them, those it has are known where it goes.
    """
    tensors, aliases = unique_tensors(fit.network)
    values = {name: value for name, value in _fields(fit).items() if name not in KNOWN}
    changed = None if given is None or fit.splits is given else pack_splits(fit.splits)
    return Parcel({**values, "aliases": aliases}, _saved(tensors), changed)


def unpack_fit(parcel: Parcel, plan: Plan, seed: int, splits: Splits, *, trust: bool = False) -> Fit:
    """Return the fit of a parcel, its network built anew with the weights that came.

    Args:
        parcel: What `pack_fit` made.
        plan: What was to be trained.
        seed: With this seed.
        splits: On these data.
        trust: Whether a foreign network's file may be unpickled.
    """
    if parcel.splits is not None:
        splits = unpack_splits(parcel.splits)
    network = _blank(plan, splits, seed, trust=trust)
    tensors = load(parcel.tensors)
    aliases = parcel.values["aliases"]
    load_tensors(network, tensors | {name: tensors[stored] for name, stored in aliases.items()}, f"seed {seed}")
    values = {name: value for name, value in parcel.values.items() if name != "aliases"}
    return Fit(network=network.eval(), plan=plan, seed=seed, splits=splits, **values)


def _blank(plan: Plan, splits: Splits, seed: int, *, trust: bool) -> Network:
    """Return the network of a plan, or the ensemble, with weights of no meaning."""
    plans = [member_plan(plan.network, plan.ensemble, position) for position in range(plan.members)]
    several = [build(one, splits.signature, splits.preprocessing, seed, trust=trust) for one in plans]
    return several[0] if plan.members == 1 else join(several, plan.ensemble)


def _fields(one: Splits | Fit) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}


def _whole(samples: Samples) -> tuple[Tensor, Tensor]:
    if isinstance(samples, TensorSamples):
        return samples.inputs.cpu(), samples.targets.cpu()
    return samples.batch(torch.arange(len(samples)))


def _saved(tensors: dict[str, Tensor]) -> bytes:
    """Return tensors as bytes; those that share memory, as views of one array do, are copied apart."""
    apart: dict[str, Tensor] = {}
    memories: set[int] = set()
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if memory in memories else tensor
        memories.add(memory)
    return save(apart)
