"""How much memory is free, and whether a data set fits into it."""

import os
from pathlib import Path

UNKNOWN_FREE_BYTES = 2 * 1024**3
"""Assumed to be free where the operating system does not say."""


def free_bytes() -> int:
    """Return the bytes this process may still take without swapping.

    The smallest of what the machine has available (Linux: `MemAvailable`; elsewhere: free pages), what the control
    group of a container leaves, and what the process's own address-space limit leaves; 2 GiB where nothing is known.
    """
    known = [one for one in (_machine(), _control_group(), _address_space()) if one is not None]
    return max(0, min(known, default=UNKNOWN_FREE_BYTES))


def fits(size_bytes: int, streamed: bool | None) -> bool:
    """Return whether data of this size shall lie in memory.

    Args:
        size_bytes: Size of all raw tensors together.
        streamed: The user's choice; None compares the size with half of the free memory.
    """
    if streamed is not None:
        return not streamed
    return size_bytes <= free_bytes() // 2


def _machine() -> int | None:
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    names = getattr(os, "sysconf_names", {})
    if "SC_AVPHYS_PAGES" in names and "SC_PAGE_SIZE" in names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _control_group() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = (folder / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(limit) - int(used) if limit.isdigit() and used.isdigit() else None


def _address_space() -> int | None:
    try:
        import resource  # not on Windows
    except ModuleNotFoundError:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    if limit == resource.RLIM_INFINITY or not statm.is_file():
        return None
    return limit - int(statm.read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
