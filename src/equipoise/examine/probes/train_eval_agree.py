"""`train-eval-agree`: is the network in the mode that its loop needs, and do both modes say about the same?"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.mode import depends_on_mode
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample, sample_batches
from equipoise.examine.probes.setup import CannotRestartError, Setup, restarted, running, take_step
from equipoise.networks.foreign import first_tensor

NAME = "train-eval-agree"
_ROWS, _MASKS, _BATCHES = 48, 24, 20


@probe(NAME)
def train_eval_agree(setup: Setup) -> Symptom:
    """Note the mode in which the own loop trains, before and after it evaluates, and compare both modes' outputs.

    Running statistics are gathered anew over twenty batches first, since those of a new network mean nothing yet.
    Outputs in training mode are averaged over many dropout masks.
    """
    wrong = _wrong_mode(setup)
    if wrong is not None:
        return wrong
    network = running(setup).network
    if not any(depends_on_mode(module) for module in network.modules()):
        raise InapplicableError("no layer depends on the mode")
    agreement, distance = _agreement(setup, network)
    estimates: dict[str, Estimate] = {
        "correlation of modes": exact(agreement, n=_ROWS),
        "distance of modes": exact(distance, n=_ROWS),
    }
    claim = (
        f"Outputs in evaluation mode and mean outputs of {_MASKS} passes in training mode correlate by "
        f"{agreement:.2f} over samples and differ by {distance:.2g} of their deviation."
    )
    if agreement >= 0.5 and distance < 3:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    suggests = {"train_eval_mode": 1.5, "too_much_dropout": 1.0, "batch_size_too_small": 1.0}
    return Symptom(
        name=NAME, verdict=Verdict.UNSURE, claim=claim, where=("loop.mode",), suggests=suggests, estimates=estimates
    )


def _wrong_mode(setup: Setup) -> Symptom | None:
    """Return a symptom when the own loop trains with every layer that knows two modes in evaluation mode."""
    if setup.step is None and setup.begin is None:
        return None
    try:
        state = restarted(setup)
    except CannotRestartError:
        return None
    layers = [module for module in state.network.modules() if depends_on_mode(module)]
    if not layers:
        return None
    batches = sample_batches(setup, 2, size=setup.batch_size)
    with _modes(layers) as first:
        take_step(setup, state, batches[0])
    if first and not any(first):
        claim = f"All {len(layers)} layers that act differently in training ran in evaluation mode in a training step."
        return _failed(f"{claim} Call network.train() before training.", 5.5)
    if setup.evaluate is None or not first:
        return None
    setup.evaluate(state.network, batches[0][0].clone())
    with _modes(layers) as second:
        take_step(setup, state, batches[1])
    if second and not any(second):
        claim = (
            f"After an evaluation all {len(layers)} layers that act differently in training stay in evaluation mode."
        )
        return _failed(f"{claim} Call network.train() at the start of every epoch.", 4.0)
    return None


def _failed(claim: str, weight: float) -> Symptom:
    suggests = {"train_eval_mode": weight}
    return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=("loop.mode",), suggests=suggests)


@contextmanager
def _modes(layers: list[nn.Module]) -> Iterator[list[bool]]:
    """Note the mode of each call of some layers."""
    seen: list[bool] = []

    def note(module: nn.Module, arguments: tuple[object, ...]) -> None:
        del arguments
        seen.append(module.training)

    handles = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _agreement(setup: Setup, network: nn.Module) -> tuple[float, float]:
    """Return the correlation over samples of both modes' outputs, and their distance in deviations."""
    network.train()
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            module.reset_running_stats()
            module.momentum = None
    for inputs, _ in sample_batches(setup, _BATCHES):
        network(inputs)
    inputs, _ = sample(setup, _ROWS)
    passes = [_flat(network(inputs)) for _ in range(_MASKS)]
    trained, evaluated = torch.stack(passes).mean(0), _flat(network.eval()(inputs))
    one, other = trained - trained.mean(0), evaluated - evaluated.mean(0)
    scale = float(one.norm() * other.norm())
    spread = float(evaluated.std()) or 1.0
    correlation = float((one * other).sum()) / scale if scale > 0 else 1.0
    # The mean of so many masks is itself off by this much.
    noise = float(torch.stack(passes).std(0).mean()) / _MASKS**0.5
    distance = max(0.0, float((trained - evaluated).abs().mean()) - noise) / spread
    return correlation, distance


def _flat(outputs: object) -> Tensor:
    values = first_tensor(outputs).double()
    return values.reshape(len(values), -1)
