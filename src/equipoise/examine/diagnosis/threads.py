"""How many threads the runs of a diagnosis share."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from equipoise.examine.diagnosis.judge import evaluating
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Setup, experiment, running
from equipoise.fit.threads import FORWARD_AND_BACKWARD, TIMED_FROM, decide, operations


@contextmanager
def sharing(setup: Setup) -> Iterator[int]:
    """Work with as many threads as pay for steps of this size, and give their number; then as many as before.

    On a busy machine the threads of a small step wait for one another, and a diagnosis takes many times as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(_threads(setup, before))
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def _threads(setup: Setup, available: int) -> int:
    """Return 1, or all threads where a forward pass is large and proves faster with them."""
    if available == 1:
        return 1
    try:
        with experiment():
            network = running(setup).network
            inputs, _ = sample(setup, setup.batch_size)
            with evaluating(network), torch.no_grad():
                if FORWARD_AND_BACKWARD * operations(network, lambda: network(inputs)) < TIMED_FROM:
                    return 1

                def seconds(threads: int) -> float:
                    torch.set_num_threads(threads)
                    began = time.perf_counter()
                    network(inputs)
                    return time.perf_counter() - began

                return decide(available, seconds)[0]
    except Exception:  # the probes say what is wrong with a network that cannot be run
        return 1
