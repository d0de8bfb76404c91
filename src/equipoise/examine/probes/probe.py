"""What a probe is: an experiment on a training that leaves everything as found and never breaks its caller."""

import copy
import functools
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import CannotRestartError, Setup, experiment, running

Probe = Callable[[Setup], Symptom]


class InapplicableError(Exception):
    """Raised inside a probe that has nothing to measure; the message is the reason."""


def probe(name: str) -> Callable[[Probe], Probe]:
    """Make a function of a setup a probe: seeded, quiet, without traces, and with an answer whatever happens.

    A probe that cannot be made is `skipped` with the reason. One that breaks is an `error`, unless the user's own
    network or loss is what breaks: then it is `skipped` too, since `loss-shapes` says what is wrong there.

    Args:
        name: Id of the probe, kebab-case.
    """

    def decorate(function: Probe) -> Probe:
        @functools.wraps(function)
        def run(setup: Setup) -> Symptom:
            with untouched(setup), experiment(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    return function(setup)
                except (InapplicableError, CannotRestartError) as reason:
                    return Symptom(name=name, verdict=Verdict.SKIPPED, claim=f"Not measured: {reason}.")
                except Exception as problem:  # a probe must never break its caller
                    return _broken(name, setup, problem)

        return run

    return decorate


def _broken(name: str, setup: Setup, problem: Exception) -> Symptom:
    first_line = (str(problem).splitlines() or [""])[0][:200]
    what = f"{type(problem).__name__}: {first_line}"
    if _runs(setup):
        return Symptom(name=name, verdict=Verdict.ERROR, claim=f"The probe broke: {what}.")
    claim = f"Not measured: network or loss raises {what}; `loss-shapes` says what to change."
    return Symptom(name=name, verdict=Verdict.SKIPPED, claim=claim)


def _runs(setup: Setup) -> bool:
    try:
        network = running(setup).network
        inputs, targets = sample(setup, min(setup.batch_size, 32))
        setup.loss(network(inputs), targets).backward()
    except Exception:  # whatever the user's code raises
        return False
    return True


@contextmanager
def untouched(setup: Setup) -> Iterator[None]:
    """Put the network, the optimiser and the random states back as they were, whatever the user's own loop does.

    Probes work on copies; only the user's `begin`, `step` and `evaluate` can reach the originals.
    """
    if setup.begin is None and setup.step is None and setup.evaluate is None:
        yield
        return
    kept = _kept(setup.network)
    optimizer = setup.optimizer if isinstance(setup.optimizer, Optimizer) else None
    state = copy.deepcopy(optimizer.state_dict()) if optimizer is not None else None
    plain = random.getstate()
    try:
        yield
    finally:
        _put_back(kept)
        if optimizer is not None and state is not None:
            optimizer.load_state_dict(state)
        random.setstate(plain)


Kept = tuple[list[tuple[Tensor, Tensor]], list[tuple[nn.Parameter, Tensor | None, bool]], list[tuple[nn.Module, bool]]]


def _kept(network: nn.Module) -> Kept:
    tensors = [*network.parameters(), *network.buffers()]
    values = [(one, one.detach().clone()) for one in tensors]
    gradients = [
        (one, None if one.grad is None else one.grad.detach().clone(), one.requires_grad)
        for one in network.parameters()
    ]
    return values, gradients, [(one, one.training) for one in network.modules()]


@torch.no_grad()
def _put_back(kept: Kept) -> None:
    values, gradients, modes = kept
    for one, value in values:
        if not torch.equal(one.detach().view_as(value), value):
            one.copy_(value)
    for parameter, gradient, trained in gradients:
        parameter.requires_grad_(trained)
        if gradient is None:
            parameter.grad = None
        elif parameter.grad is None or not torch.equal(parameter.grad, gradient):
            parameter.grad = gradient
    for module, training in modes:
        module.training = training
