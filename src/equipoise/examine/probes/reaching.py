"""What reaches the first layer that learns, and the same on a common scale."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from equipoise.examine.probes.anatomy import AFFINE, Call, listening, parts, trace
from equipoise.examine.probes.depth import without_dropout
from equipoise.examine.probes.sampling import sample, sample_batches
from equipoise.examine.probes.setup import Setup, restarted, running, take_step

_FEW, _SOME, _MANY, _STEPS = 16, 128, 2048, 8


@dataclass(frozen=True, slots=True, eq=False)
class Reaching:
    """Features as the first layer with weights sees them.

    Attributes:
        layer: Path of that layer.
        columns: (samples, features); channels of a convolution are features and its positions samples.
    """

    layer: str
    columns: Tensor


def reaching(setup: Setup) -> Reaching | None:
    """Return what reaches the first layer with weights in training, or None where that is no table of numbers.

    A normalisation in front of it has done its work by then. An embedding takes indices, so nothing is returned.
    """
    own = _in_own_loop(setup)
    if own is not None:
        return own
    network = without_dropout(running(setup).network)
    inputs, _ = sample(setup, _FEW)
    call = _first(network, inputs)
    if call is None or call.inputs is None or not call.inputs.is_floating_point():
        return None
    given = call.inputs
    if given.numel() == inputs.numel() and torch.equal(given.flatten().to(inputs), inputs.flatten()):
        raw, _ = sample(setup, _MANY)
        return Reaching(call.name, _columns(call.module, raw.reshape(-1, *given.shape[1:])))
    raw, _ = sample(setup, _SOME)
    again = _first(network, raw)
    if again is None or again.inputs is None:
        return None
    return Reaching(call.name, _columns(call.module, again.inputs))


def _in_own_loop(setup: Setup) -> Reaching | None:
    """Return what reaches the first layer in the user's own steps, where that is not what plain steps give it."""
    if setup.step is None or setup.begin is None:
        return None
    state = restarted(setup)
    seen: list[Call] = []
    batches = sample_batches(setup, _STEPS, size=setup.batch_size)
    plain = _first(without_dropout(copy.deepcopy(state.network)), batches[0][0])
    if plain is None or plain.inputs is None:
        return None

    def note(call: Call) -> None:
        if call.name == plain.name and call.inputs is not None:
            seen.append(call)

    with listening(parts(state.network), note):
        for batch in batches:
            take_step(setup, state, batch)
    given = [call.inputs for call in seen if call.inputs is not None]
    if not given or (given[0].shape == plain.inputs.shape and torch.allclose(given[0], plain.inputs, rtol=1e-3)):
        return None
    if not given[0].is_floating_point():
        return None
    return Reaching(plain.name, torch.cat([_columns(plain.module, one) for one in given]))


def _first(network: nn.Module, inputs: Tensor) -> Call | None:
    for call in trace(network, inputs).calls:
        if isinstance(call.module, nn.Embedding):
            return None
        if any(one.dim() > 1 for one in call.module.parameters()):
            return call
    return None


def _columns(module: nn.Module, given: Tensor) -> Tensor:
    values = given.detach().double()
    if isinstance(module, AFFINE) and not isinstance(module, nn.Linear):
        return values.movedim(1, -1).reshape(-1, values.shape[1])
    return values.reshape(-1, values.shape[-1]) if values.dim() > 1 else values.unsqueeze(1)


def standardised(inputs: Tensor) -> Tensor:
    """Return inputs (n, ...) with every feature at mean 0 and deviation 1 over these samples; constants become 0."""
    if not inputs.is_floating_point() or len(inputs) < 2:
        return inputs
    axes = (0,) if inputs.dim() == 2 else (0, *range(2, inputs.dim()))
    if inputs.dim() == 3:
        axes = (0, 1)  # a sequence has its features last
    mean, spread = inputs.mean(axes, keepdim=True), inputs.std(axes, keepdim=True)
    return (inputs - mean) / torch.where(spread > 1e-8, spread, torch.ones_like(spread))
