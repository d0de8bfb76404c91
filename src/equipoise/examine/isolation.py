"""What a question must leave as it found it: recorded before, compared and put back afterwards."""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.examine.subject import Subject

CHECKED_ELEMENTS = 1 << 22
"""Of larger cached inputs only every k-th element is compared, so that the check stays cheap."""


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """A copy of everything that must stay: the network's state, the subject's cached data and global settings."""

    modules: tuple[tuple[str, nn.Module, dict[str, Any]], ...]
    tensors: tuple[tuple[str, Tensor, Tensor, bool], ...]
    gradients: tuple[tuple[str, Tensor, Tensor | None], ...]
    cached: dict[str, int]
    torch_random: Tensor
    numpy_random: Any
    python_random: Any
    settings: tuple[bool, torch.dtype, int]


def record(subject: Subject) -> Before:
    """Return a copy of what a question must not change."""
    network = subject.network
    return Before(
        modules=tuple((name, module, _attributes(module)) for name, module in network.named_modules()),
        tensors=tuple(
            (name, tensor, tensor.detach().clone(), tensor.requires_grad) for name, tensor in _named_tensors(network)
        ),
        gradients=tuple(
            (name, parameter, None if parameter.grad is None else parameter.grad.detach().clone())
            for name, parameter in network.named_parameters()
        ),
        cached=_fingerprints(subject),
        torch_random=torch.get_rng_state(),
        numpy_random=np.random.get_state(),
        python_random=random.getstate(),
        settings=(torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()),
    )


def put_back(subject: Subject, before: Before) -> tuple[str, ...]:
    """Return what was changed, one short phrase each, after putting everything back as it was."""
    changes = [*_put_back_modules(before), *_put_back_tensors(before), *_put_back_gradients(before)]
    after = _fingerprints(subject)
    for part, fingerprint in before.cached.items():
        if after.get(part) != fingerprint:
            changes.append(f"the cached answers on the {part} part")
            subject._cache.pop(part, None)
    return (*changes, *_put_back_globals(before))


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Return a module's mode and a copy of each dictionary of its hooks, parameters, buffers and sub-modules.

    Only what every module has is looked at: a network may keep attributes of its own and change them while it runs.
    """
    kept = {name for name, value in vars(nn.Module()).items() if isinstance(value, dict)}
    copies: dict[str, Any] = {name: value.copy() for name, value in vars(module).items() if name in kept}
    return {"training": module.training, **copies}


def _named_tensors(network: nn.Module) -> list[tuple[str, Tensor]]:
    return [*network.named_parameters(), *network.named_buffers()]


def _put_back_modules(before: Before) -> list[str]:
    changes: list[str] = []
    for name, module, attributes in before.modules:
        shown = name or "the network"
        now = vars(module)
        if module.training != attributes["training"]:
            changes.append(f"training mode of {shown}")
            module.training = attributes["training"]
        for key, value in attributes.items():
            if isinstance(value, dict) and not _same_entries(now.get(key), value):
                what = "hooks" if "hooks" in key else key.strip("_")
                changes.append(f"{what} of {shown}")
                held = now.get(key)
                if isinstance(held, dict):
                    held.clear()
                    held.update(value)
                else:
                    now[key] = value
    return changes


def _same_entries(now: Any, before: dict[Any, Any]) -> bool:
    return isinstance(now, dict) and list(now) == list(before) and all(now[key] is before[key] for key in before)


@torch.no_grad()
def _put_back_tensors(before: Before) -> list[str]:
    changes: list[str] = []
    for name, tensor, copy, requires_grad in before.tensors:
        if tensor.requires_grad != requires_grad:
            changes.append(f"requires_grad of {name}")
            tensor.requires_grad_(requires_grad)
        if not _same_bits(tensor, copy):
            changes.append(f"values of {name}")
            tensor.data = copy
    return changes


def _put_back_gradients(before: Before) -> list[str]:
    changes: list[str] = []
    for name, parameter, gradient in before.gradients:
        now = parameter.grad
        if (now is None) != (gradient is None) or (
            now is not None and gradient is not None and not _same_bits(now, gradient)
        ):
            changes.append(f".grad of {name}")
            parameter.grad = gradient
    return changes


def _put_back_globals(before: Before) -> list[str]:
    changes: list[str] = []
    if not torch.equal(torch.get_rng_state(), before.torch_random):
        changes.append("the global random state of torch")
        torch.set_rng_state(before.torch_random)
    if not _same_numpy_state(np.random.get_state(), before.numpy_random):
        changes.append("the global random state of numpy")
        np.random.set_state(before.numpy_random)
    if random.getstate() != before.python_random:
        changes.append("the global random state of python")
        random.setstate(before.python_random)
    gradients, dtype, threads = before.settings
    if torch.is_grad_enabled() != gradients:
        changes.append("torch's gradient mode")
        torch.set_grad_enabled(gradients)
    if torch.get_default_dtype() != dtype:
        changes.append("torch's default dtype")
        torch.set_default_dtype(dtype)
    if torch.get_num_threads() != threads:
        changes.append("torch's number of threads")
        torch.set_num_threads(threads)
    return changes


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        return False
    if one.layout != torch.strided:
        return bool(torch.equal(one.to_dense(), other.to_dense()))
    # Compared as bytes, so that NaN equals NaN and -0.0 differs from 0.0.
    a, b = (side.detach().contiguous().reshape(-1).view(torch.uint8) for side in (one, other))
    return bool(torch.equal(a, b))


def _same_numpy_state(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _fingerprints(subject: Subject) -> dict[str, int]:
    """Return a cheap sum of the bits of the inputs and answers cached for each part."""
    sums: dict[str, int] = {}
    for part, kept in subject._cache.items():
        arrays = (kept.inputs, *(torch.from_numpy(one) for one in (kept.targets, kept.answer, kept.scores)))
        sums[part] = hash(tuple(_bit_sum(one) for one in arrays))
    return sums


def _bit_sum(tensor: Tensor) -> int:
    flat = tensor.detach().contiguous().reshape(-1)
    flat = flat[:: max(1, flat.numel() // CHECKED_ELEMENTS)].contiguous()
    words = {4: torch.int32, 8: torch.int64}.get(flat.element_size(), torch.uint8)
    return int(flat.view(words).sum(dtype=torch.int64))
