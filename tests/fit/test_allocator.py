"""Held memory: fewer pages are asked for anew, numbers stay, and it is given back afterwards."""

import resource
import subprocess
import sys

import pytest

from equipoise.fit import allocator
from equipoise.fit.allocator import ALLOCATOR, Allocator

LOOP = """
import resource, sys
import torch
from equipoise.fit.allocator import ALLOCATOR

torch.set_num_threads(1)


def faults():
    kept = []
    for k in range(12):
        if k == 4:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [torch.full((3_000_000,), float(k)) for _ in range(4)]
        kept.append(float(sum(block.sum() for block in blocks)))
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, kept


def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()


empty = resident()
with ALLOCATOR.keeping():
    with ALLOCATOR.keeping():
        held, numbers = faults()
    again, _ = faults()
after = resident() - empty
_, plainly = faults()
print(held, again, after, numbers == plainly)
"""

needs_glibc = pytest.mark.skipif(not (ALLOCATOR.known and sys.platform == "linux"), reason="needs glibc")


@needs_glibc
def test_freed_memory_is_used_again_and_given_back_afterwards():
    done = subprocess.run([sys.executable, "-c", LOOP], capture_output=True, text=True, check=True)
    held, again, after, same = done.stdout.split()
    pages = 8 * 4 * 12_000_000 // resource.getpagesize()
    assert int(held) < 0.1 * pages, "of what the last eight rounds would ask for anew"
    assert int(again) < 0.1 * pages, "the inner context must not end the outer one"
    assert int(after) < 12_000_000
    assert same == "True"


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocator.os, "confstr", lambda name: "musl 1.2")
    alone = Allocator()
    assert not alone.known
    with alone.keeping():
        pass
