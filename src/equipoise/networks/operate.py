"""Carrying out the surgeries of a plan on a network that was made elsewhere."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise.core.surgeries import split_surgery
from equipoise.networks.foreign_files import ExportedNetwork
from equipoise.networks.keras_adapter import KerasAdapter
from equipoise.networks.operations import SURGEONS, Operation
from equipoise.networks.probe import run_once


def operate(network: nn.Module, surgeries: Sequence[str], inputs: Tensor, seed: int) -> nn.Module:
    """Return a copy of a network with surgeries done one after another; the network itself is left as it is.

    After each one the changed network is tried on the samples, in evaluation and in training mode. The same seed gives
    the same weights; torch's global generator is left as it was.

    Args:
        network: The network.
        surgeries: As in `core.surgeries`.
        inputs: A few samples as the network takes them.
        seed: Draws new weights.

    Raises:
        ValueError: A surgery cannot be done to this network; the message says why.
    """
    shape = tuple(run_once(network, inputs).shape)
    for position, surgery in enumerate(surgeries):
        name, value = split_surgery(surgery)
        if isinstance(network, KerasAdapter):
            raise _refused(surgery, "runs through the Keras adapter, whose layers only Keras itself can change")
        if isinstance(network, ExportedNetwork):
            raise _refused(surgery, "was exported, so that it is a fixed program without layers")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + position)
            changed = SURGEONS[name](Operation(network, inputs, value, seed + position))
            if isinstance(changed, str):
                raise _refused(surgery, changed)
            changed.train(network.training)
            problem = _problem(changed, inputs, shape)
        if problem:
            raise _refused(surgery, problem)
        network = changed
    return network


def _problem(network: nn.Module, inputs: Tensor, shape: tuple[int, ...]) -> str:
    """Return what is wrong with a changed network on a few samples, or nothing."""
    tried = copy.deepcopy(network)
    try:
        got = tuple(run_once(tried, inputs).shape)
        tried.train()(inputs)
    except Exception as problem:  # whatever the user's code raises
        said = (str(problem).splitlines() or [""])[0][:160]
        return f"no longer runs with it ({type(problem).__name__}: {said})"
    return "" if got == shape else f"then gives outputs of shape {got} in the place of {shape}"


def _refused(surgery: str, why: str) -> ValueError:
    return ValueError(
        f"network.surgeries: got {surgery!r} for a network that {why}; expected one to which this can be done. Leave "
        "it out, or change the network's own code."
    )
