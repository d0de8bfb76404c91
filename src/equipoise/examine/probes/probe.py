"""What a probe is: an experiment on a training that leaves everything as found and never breaks its caller."""

import functools
import warnings
from collections.abc import Callable

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import CannotRestartError, Setup, experiment, restarted, running, take_step
from equipoise.examine.probes.untouched import untouched

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
    if not _runs(setup):
        claim = f"Not measured: network or loss raises {what}; `loss-shapes` says what to change."
    elif not _steps(setup):
        claim = f"Not measured: a step of the loop raises {what}; `own-step` says what to change."
    else:
        return Symptom(name=name, verdict=Verdict.ERROR, claim=f"The probe broke: {what}.")
    return Symptom(name=name, verdict=Verdict.SKIPPED, claim=claim)


def _runs(setup: Setup) -> bool:
    try:
        network = running(setup).network
        inputs, targets = sample(setup, min(setup.batch_size, 32))
        setup.loss(network(inputs), targets).backward()
    except Exception:  # whatever the user's code raises
        return False
    return True


def _steps(setup: Setup) -> bool:
    try:
        take_step(setup, restarted(setup), sample(setup, setup.batch_size))
    except CannotRestartError:
        return True
    except Exception:  # whatever the user's code raises
        return False
    return True
