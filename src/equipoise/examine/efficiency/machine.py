"""The machine that times and sizes hold for."""

import os
from pathlib import Path

import torch

from equipoise.fit.execution import machine

_GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def machine_name(device: torch.device) -> str:
    """Return processor, cores and torch's threads, or the accelerator's name, in a few words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{machine()}, {os.cpu_count()} cores, {threads} torch thread{'s' if threads > 1 else ''}"


def memory_bytes(device: torch.device) -> int | None:
    """Return the bytes of memory that a process may use on a device, or None where the system does not say.

    On the CPU the physical memory, or the limit of the container around the process when that is smaller.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    found: list[int] = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _GROUP_LIMITS:
        text = path.read_text().strip() if path.is_file() else ""
        if text.isdigit():
            found.append(int(text))
    return min(found) if found else None
