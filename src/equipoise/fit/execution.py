"""Where and how a training runs: chosen once, said, recorded, and reused when it is resumed."""

import contextlib
import platform
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from equipoise.core.recipe import Recipe
from equipoise.fit.allocator import ALLOCATOR
from equipoise.fit.fitted import Execution
from equipoise.fit.threads import choose_threads
from equipoise.networks.network import Network

LEAST_CHANNELS = 8
"""Channels from which on strided kernels of one pixel are safe channels last on a CPU."""


def choose_execution(recipe: Recipe, network: Network, inputs: Tensor) -> Execution:
    """Return how to run a training; where more threads may pay, a few steps are timed, the rest is a fixed rule.

    Args:
        recipe: May say device, threads and precision.
        network: The network, on the CPU.
        inputs: A batch of raw inputs on the CPU, from which the work of a step is counted.

    Raises:
        ValueError: The device asked for is not there.
    """
    device, why_device = choose_device(recipe.device)
    threads, why_threads = choose_threads(recipe, network, inputs, device)
    return Execution(
        device=str(device),
        reason=f"{why_device}; {why_threads}",
        threads=threads,
        channels_last=recipe.tuned and bears_channels_last(network, device),
        fused=False,  # known once the optimiser is built
        precision=recipe.precision,
        torch=torch.__version__,
        machine=machine(),
    )


def choose_device(wish: str) -> tuple[torch.device, str]:
    """Return the device for a wish (`auto`, `cpu`, `cuda`, `mps`) with the reason.

    Raises:
        ValueError: It is not there.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wish != "auto":
        if not present[wish]:
            raise ValueError(
                f"recipe.device: got {wish!r}, which this machine or this build of torch does not have; expected one "
                f"of {', '.join(name for name, there in present.items() if there)}. Leave it at 'auto'."
            )
        return _on(wish), f"{wish}: asked for"
    if present["cuda"]:
        return _on("cuda"), f"cuda: found {torch.cuda.get_device_name()}"
    if present["mps"]:
        return torch.device("mps"), "mps: found an Apple GPU"
    return torch.device("cpu"), "cpu: no GPU was found"


def _on(kind: str) -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if kind == "cuda" else torch.device(kind)


def machine() -> str:
    """Return processor and operating system in a few words."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return f"{processor}, {platform.system()} {platform.release()}"


@contextlib.contextmanager
def executing(execution: Execution) -> Iterator[None]:
    """Run with the recorded thread count and reproducible kernels; everything global is put back.

    The global random generators are put back too, so that a fit draws nothing from its caller's stream.
    """
    threads, benchmark, deterministic = (
        torch.get_num_threads(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
    )
    device = torch.device(execution.device)
    blocks = execution.channels_last and device.type == "cpu"  # only images make blocks so large that it matters
    keeping = ALLOCATOR.keeping() if blocks else contextlib.nullcontext()
    with keeping, torch.random.fork_rng([device.index or 0] if device.type == "cuda" else []):
        torch.set_num_threads(execution.threads)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = benchmark, deterministic


def lay_out(network: Network, execution: Execution) -> Network:
    """Move a network to the device and memory layout of an execution, in place; return it."""
    layout = torch.channels_last if execution.channels_last else torch.contiguous_format
    network.to(torch.device(execution.device))
    return lay_out_kernels(network, layout)


def lay_out_kernels(network: Network, layout: torch.memory_format) -> Network:
    """Bring the kernels of two-dimensional convolutions into a memory layout, in place; return the network.

    A kernel laid out channels last is enough: the convolution then gives its output the same layout.
    """
    for module in _convolutions(network):
        kernel = module.weight.data
        # `contiguous` would leave a kernel of one channel as it is, whose two layouts differ only in name.
        module.weight.data = torch.empty_like(kernel, memory_format=layout).copy_(kernel)
    return network


def bears_channels_last(network: nn.Module, device: torch.device) -> bool:
    """Whether kernels may be laid out channels last: there are convolutions, and a device that gains.

    On a CPU the backward pass of oneDNN (torch 2.13) writes past its memory for channels-last kernels of one pixel that
    skip pixels and take fewer than eight channels, and ends the process; a network with such a layer stays as it is.
    """
    layers = _convolutions(network)
    if device.type not in ("cpu", "cuda") or not layers:
        return False
    return device.type == "cuda" or not any(
        layer.kernel_size == (1, 1) and max(layer.stride) > 1 and layer.in_channels // layer.groups < LEAST_CHANNELS
        for layer in layers
    )


def _convolutions(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    return [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))]
