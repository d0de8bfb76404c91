"""Keeps the memory of one step for the next, where the C library would hand it back to the system in between."""

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator

# The options of glibc's `mallopt` (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_UNTRIMMED = 2**31 - 1
_MMAP_MAX_BEFORE = 65_536
_MMAP_THRESHOLD_AFTER = 32 * 1024**2
_TRIM_THRESHOLD_AFTER = 64 * 1024**2


class Allocator:
    """glibc's allocator, told to keep large blocks while somebody trains.

    A step of a convolutional network frees and asks for the same tens of megabytes hundreds of times. By default glibc
    gives such blocks back to the system, which hands them out again page by page and zeroed: up to half of the time of
    a step. Held, they are reused as they are. Numbers do not change.

    Afterwards blocks are given back again, as glibc itself does once a block of 32 MiB, the largest that its own
    adjustment looks at, was freed; what it was set to before cannot be asked for. Other C libraries are left alone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trainings = 0
        self._library = _glibc()

    @property
    def known(self) -> bool:
        """Whether this process uses glibc, so that it can be told."""
        return self._library is not None

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep freed memory inside the context; contexts may be nested and overlap."""
        self._count(+1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        library = self._library
        if library is None:
            return
        with self._lock:
            before, self._trainings = self._trainings, self._trainings + change
            if not before:
                library.mallopt(_MMAP_MAX, 0)
                library.mallopt(_TRIM_THRESHOLD, _UNTRIMMED)
            elif not self._trainings:
                library.mallopt(_MMAP_MAX, _MMAP_MAX_BEFORE)
                library.mallopt(_MMAP_THRESHOLD, _MMAP_THRESHOLD_AFTER)
                library.mallopt(_TRIM_THRESHOLD, _TRIM_THRESHOLD_AFTER)
                library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """Return the C library of this process where it is glibc, which alone has `mallopt` as used here."""
    try:
        is_glibc = (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, OSError, ValueError):  # no POSIX system, or another C library
        return None
    return ctypes.CDLL(None) if is_glibc else None


ALLOCATOR = Allocator()
"""The one of this process: there is one C library, so whoever sets it must be one."""
