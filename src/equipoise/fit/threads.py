"""How many threads a step is shared by."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from equipoise.core.recipe import Recipe
from equipoise.networks.network import Network

FORWARD_AND_BACKWARD = 3.0
"""A backward pass counts as two forward ones."""

TIMED_FROM = 200e6
"""Floating-point operations of a training step from which more than one thread may pay, so that it is timed."""

ROUNDS = 3
WORTH = 0.85
"""All threads are taken when they need at most this share of the time of one: they leave less for others."""

HOPELESS = 1.5
"""Timing ends when all threads need so many times the time of one, as they do on a busy machine."""


def choose_threads(recipe: Recipe, network: Network, inputs: Tensor, device: torch.device) -> tuple[int, str]:
    """Return a number of threads with the reason.

    Small steps take one thread without any timing. Large ones are timed with one and with all, since on a busy machine
    threads that wait for each other can be ten times slower than one.

    Args:
        recipe: May say the number.
        network: The network, on the CPU; left as it is.
        inputs: A batch of raw inputs on the CPU.
        device: Where the training runs.
    """
    if recipe.threads is not None:
        return recipe.threads, f"{recipe.threads} threads: asked for"
    available = torch.get_num_threads()
    if available == 1:
        return 1, "1 thread: no more are allowed or there"
    if device.type != "cpu":
        return available, f"{available} threads: all cores prepare batches"
    work = FORWARD_AND_BACKWARD * operations(network, lambda: network.scores(inputs))
    if work < TIMED_FROM:
        return 1, f"1 thread: a step of {work / 1e6:.3g} million operations is too small to share"
    return decide(available, lambda threads: step_seconds(network, inputs, threads))


def decide(available: int, seconds: Callable[[int], float]) -> tuple[int, str]:
    """Return 1 or all threads, whichever takes a step faster by a margin, with the reason.

    Args:
        available: All threads.
        seconds: Takes a step with so many threads and returns its duration.
    """
    seconds(1)  # the first step also allocates
    alone = [seconds(1)]
    shared = [seconds(available)]
    while len(shared) < ROUNDS and shared[0] < HOPELESS * alone[0]:
        alone.append(seconds(1))
        shared.append(seconds(available))
    one, all_of_them = statistics.median(alone), statistics.median(shared)
    timed = f"timed {one * 1e3:.3g} ms a step with 1 and {all_of_them * 1e3:.3g} ms with {available}"
    if all_of_them <= WORTH * one:
        return available, f"{available} threads: {timed}"
    return 1, f"1 thread: {timed}"


def step_seconds(network: Network, inputs: Tensor, threads: int) -> float:
    """Return the duration of a forward and backward pass; weights, statistics and random state stay as they are."""
    before, was_training = torch.get_num_threads(), network.training
    torch.set_num_threads(threads)
    network.eval()
    try:
        start = time.perf_counter()
        network.scores(inputs).float().square().mean().backward()
        return time.perf_counter() - start
    finally:
        network.zero_grad(set_to_none=True)
        network.train(was_training)
        torch.set_num_threads(before)


@torch.no_grad()
def operations(network: nn.Module, forward: Callable[[], object]) -> float:
    """Return floating-point operations of one forward pass, made in evaluation mode.

    Matrix products, convolutions and attention are counted as they happen, LSTM layers from their weights.
    """
    lstm = _LstmSteps(network)
    was_training = network.training
    network.eval()
    try:
        with FlopCounterMode(display=False) as counter, lstm:
            forward()
    finally:
        network.train(was_training)
    return float(counter.get_total_flops()) + lstm.operations


class _LstmSteps:
    """Counts the work of LSTM layers, whose fused kernel the counter of torch does not know."""

    def __init__(self, network: nn.Module) -> None:
        self.operations = 0.0
        self._layers = [module for module in network.modules() if isinstance(module, nn.LSTM)]
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> None:
        self._hooks = [layer.register_forward_pre_hook(self._seen) for layer in self._layers]

    def __exit__(self, *problem: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _seen(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        positions = inputs[0].shape[0] * inputs[0].shape[1]
        self.operations += 2.0 * positions * sum(p.numel() for p in layer.parameters() if p.dim() == 2)
