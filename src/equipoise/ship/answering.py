"""The network as one graph from raw input to answer, and the quiet in which exporters run."""

import logging
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from equipoise.networks.network import Network

INPUT_NAME = "inputs"
OUTPUT_NAME = "answer"

_HARMLESS = (
    r".*isinstance\(treespec, LeafSpec\).* is deprecated.*",
    r".*_check_is_size will be removed.*",
    r"(?s).*The tensor attributes? .*assigned during export.*",
)
"""Warnings that exporters raise about their own insides; the comparison afterwards would show any harm."""

_CHATTY_LOGGERS = ("torch.onnx", "torch.export", "torch.fx", "torch.fx.experimental.symbolic_shapes")


class Answering(nn.Module):
    """The network with `answer` as its forward: raw input in, probabilities or the user's units out."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the answer for raw inputs, of any number of samples."""
        return self.network.answer(inputs)


@contextmanager
def evaluating(network: Network) -> Generator[None]:
    """Put every module in evaluation mode without gradients; each module's own mode is put back afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def quiet() -> Generator[None]:
    """Silence the known harmless warnings and log lines of exporters; everything else is still shown."""
    loggers = [logging.getLogger(name) for name in _CHATTY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            for message in _HARMLESS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def exported_program(network: Network, inputs: Tensor) -> ExportedProgram:
    """Return the graph of `answer` for any number of samples.

    Traced on two samples of zeros, not on the inputs given: a `.pt2` file keeps its sample inputs, and nobody's data
    belongs in a shipped file. Two, since a dimension of size one would be taken as fixed.

    Raises:
        ValueError: The network cannot be traced, or works for one batch size only.
    """
    example = inputs.new_zeros((2, *inputs.shape[1:]))
    module = Answering(network).eval()
    try:
        return torch.export.export(module, (example,), dynamic_shapes=({0: Dim("batch", min=1)},))
    except Exception as problem:
        reason = innermost(problem)
        if "onstraints violated" in reason or "specialized" in reason:
            raise ValueError(
                f"got a network that works for one batch size only ({reason}); expected one for any number of samples. "
                "Take the batch size from the input (such as x.shape[0], or -1 in reshape) in its forward."
            ) from problem
        raise ValueError(
            f"got a network that cannot be traced to a graph ({reason}); expected a forward whose path does not depend "
            "on the values in its tensors. Replace Python branches on tensor values by torch.where, or export with "
            "--to safetensors."
        ) from problem


def innermost(problem: BaseException) -> str:
    """Return the first line of the error that started a chain, without colour codes, at most 300 characters."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(problem)).strip()
    return (text.splitlines() or [type(problem).__name__])[0][:300]
