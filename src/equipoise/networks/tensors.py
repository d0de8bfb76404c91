"""Putting named tensors into a network, with an account of what does not fit."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

_SHOWN = 5


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write named tensors as safetensors; `metadata` should have one key, since several are written in random order.

    Raises:
        OSError: The disk is full or the file cannot be written.
    """
    try:
        save_file(dict(tensors), path, metadata=metadata)
    except SafetensorError as problem:  # a full disk reaches us as this
        raise OSError(
            f"got {problem} while writing {path.name}; expected room on the disk. Free some space, then go on with: "
            "equipoise run --resume DIR"
        ) from problem


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], origin: str) -> None:
    """Copy named tensors into a network's parameters and buffers.

    A name that is missing is no fault where the network ties its tensor to one that came.

    Raises:
        ValueError: Names or shapes differ; the message lists the first few and leaves the network unchanged.
    """
    own = module.state_dict(keep_vars=True)
    came = {id(own[name]) for name in tensors if name in own}
    missing = [name for name, tensor in own.items() if name not in tensors and id(tensor) not in came]
    unknown = [name for name in tensors if name not in own]
    other = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    faults = [
        f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
        for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", other))
        if names
    ]
    if faults:
        raise ValueError(
            f"{origin}: got tensors that do not fit the network ({'; '.join(faults)}); expected its own "
            f"{len(own)} tensors. Use the file together with the network definition that wrote it."
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def unique_tensors(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a network's tensors, each once and contiguous, and for every further name the name it is stored under."""
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    names: dict[int, str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) in names:
            aliases[name] = names[id(tensor)]
            continue
        names[id(tensor)] = name
        # A copy: views into one storage are refused by the file format.
        tensors[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return tensors, aliases
