"""Find what is wrong with a training, where and why: `equipoise.diagnose`."""

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Cause, Diagnosis, Health, Symptom
from equipoise.core.estimate import Verdict
from equipoise.core.progress import Listener, Progress, silent
from equipoise.examine.diagnosis.causes import causes, is_sick, reachable
from equipoise.examine.diagnosis.evidence import Evidence
from equipoise.examine.diagnosis.experiments import OwnRunError, gather
from equipoise.examine.diagnosis.threads import sharing
from equipoise.examine.diagnosis.variations import raised
from equipoise.examine.probes.all import PROBES
from equipoise.examine.probes.nested import by_rows, length
from equipoise.examine.probes.setup import (
    BadBeginError,
    Batch,
    Begin,
    CannotRestartError,
    Evaluate,
    Loss,
    MakeOptimizer,
    Setup,
    Step,
    begun,
    contained,
    experiment,
)
from equipoise.examine.probes.untouched import untouched

PROBING_SHARE = 0.4
"""Share of the budget after which no further probe is begun."""
RUNNING_SHARE = 0.9
"""Share of the budget after which no further run is begun, and runs that go on are cut off."""
INTERRUPTED = "interrupted"
"""Key of `Diagnosis.skipped` for a diagnosis that was cut off by the user; it claims no health."""
RUNS = "counterfactual runs"
"""Key of `Diagnosis.skipped` for runs that could not be made."""
TELLING = ("loss-shapes", "gradient-reach", "memorises-a-batch")
"""Probes that must have had their say where the training itself could not be run."""


@dataclass(slots=True, eq=False)
class Known:
    """What is known so far.

    Attributes:
        symptoms: What the probes saw.
        found: What the runs found; None before the first one.
        raises: What the user's own training raises, or an empty string.
        not_run: What could not be run, with the reason.
        own_loop: Whether the loop is the user's own, which probes of network, loss and data do not vouch for.
    """

    symptoms: list[Symptom] = field(default_factory=list)
    found: Evidence | None = None
    raises: str = ""
    not_run: dict[str, str] = field(default_factory=dict)
    own_loop: bool = False


def diagnose(
    network: nn.Module,
    loss: Loss,
    optimizer: torch.optim.Optimizer | MakeOptimizer,
    *,
    train: Batch,
    validation: Batch | None = None,
    batch_size: int = 32,
    epochs: int = 10,
    shuffle: bool = True,
    step: Step | None = None,
    begin: Begin | None = None,
    evaluate: Evaluate | None = None,
    budget_s: float = 60.0,
    on_progress: Listener = silent,
) -> Diagnosis:
    """Return what is wrong with a training, likeliest cause first.

    Probes look for faults of mechanism before the first step. Then the training is run as it is, by a sound recipe,
    with each choice made sound alone, and by the recipe with each choice left as it is: a choice that is enough, or
    needed, to close the gap is a cause. Everything is done on copies; network, optimiser, modes, hooks and random
    states are as before.

    Args:
        network: The network, before its first step.
        loss: Maps (outputs, targets) to a scalar.
        optimizer: An optimiser of the network's parameters, or a function that makes one of parameters.
        train: Inputs (n, ...) and targets (n, ...) as the loop sees them; targets may be a tuple or dictionary of
            tensors, which the loss then takes.
        validation: The same, held out; without it the training rows are judged.
        batch_size: Samples a step.
        epochs: Passes over the training data.
        shuffle: Whether the rows are drawn in a new order every epoch.
        step: The user's own loop body `step(network, optimizer, batch) -> loss`, when the bug may be there.
        begin: Makes a fresh `(network, optimizer)` for that loop; without it, what must restart the loop is skipped.
        evaluate: The user's own evaluation `evaluate(network, inputs) -> outputs`, when the bug may be there.
        budget_s: Seconds that it may take, about.
        on_progress: Told of every probe and run.

    Returns:
        The diagnosis; after a KeyboardInterrupt, of what was known by then, with `interrupted` among what was skipped.

    Raises:
        ValueError: Data of different lengths, none at all, a batch size or number of epochs that is no whole number of
            at least 1, or a `begin` that does not return a network and its optimiser.
    """
    began = time.perf_counter()
    _check(train, validation, batch_size, epochs)
    given = Setup(network, loss, optimizer, train, validation, batch_size, epochs, shuffle, step, begin, evaluate)
    known = Known(own_loop=step is not None)
    try:
        with untouched(given), experiment(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            setup = by_rows(given if step is None else replace(given, step=contained(step)))
            with sharing(setup):
                _learn(known, setup, began, budget_s, on_progress)
    except KeyboardInterrupt:
        known.not_run[INTERRUPTED] = "this is what was known by then"
    on_progress(Progress("diagnose", 0, 0, finished=True))
    return _concluded(known, time.perf_counter() - began)


def _learn(known: Known, setup: Setup, began: float, budget_s: float, on_progress: Listener) -> None:
    """Probe and run a training, and keep what is known up to date."""
    if setup.begin is not None:
        _check_begin(setup.begin)
    _load()
    loaded = time.perf_counter() - began
    for symptom in _probe(setup, began + loaded + PROBING_SHARE * budget_s, on_progress):
        known.symptoms.append(symptom)
    deadline = began + RUNNING_SHARE * budget_s
    try:
        for found in gather(setup, deadline, tuple(known.symptoms), on_progress):
            known.found = found
        if time.perf_counter() > deadline:
            known.not_run[RUNS] = "the time was spent before all of them were made"
    except CannotRestartError as reason:
        known.not_run[RUNS] = str(reason)
    except OwnRunError as problem:  # the user's network, loss or loop breaks
        known.raises = str(problem)
        known.not_run[RUNS] = f"the training cannot be run: {problem}"
    except Exception as problem:  # a run of ours breaks, which says nothing about the training
        known.not_run[RUNS] = f"broke off with {raised(problem)}"


def _check_begin(begin: Begin) -> None:
    try:
        with experiment():
            begun(begin)
    except BadBeginError:
        raise
    except Exception:  # what it raises is a finding, not a wrong argument
        return


def _load() -> None:
    """Load what the first optimiser of a process loads, so that no probe's time is spent on it."""
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])


def _concluded(known: Known, seconds: float) -> Diagnosis:
    found, symptoms = known.found, known.symptoms
    named = causes(found, symptoms, raises=bool(known.raises))
    verdict, reason = verdict_on(known, named)
    symptoms += () if found is None else found.heard
    unmade = {} if found is None else {f"run: {name}": f"it raised {what}" for name, what in found.unmade.items()}
    return Diagnosis(
        verdict=verdict,
        reason=reason,
        causes=named,
        symptoms=tuple(sorted(symptoms, key=lambda one: -one.verdict.severity)),
        score={} if found is None else _scores(found),
        skipped={one.name: one.claim for one in symptoms if one.verdict is Verdict.SKIPPED} | unmade | known.not_run,
        seconds=seconds,
    )


def verdict_on(known: Known, named: tuple[Cause, ...]) -> tuple[Health, str]:
    """Return the verdict, and its reason where no cause gives one.

    Args:
        known: What is known.
        named: The causes that follow from it.
    """
    if named:
        return "sick", ""
    if known.raises:
        return "sick", f"The training raises {known.raises}, which no fault that is known here explains."
    if INTERRUPTED in known.not_run:
        return "unsure", "It was interrupted before anything was found."
    found = known.found
    if found is not None and found.complete and is_sick(found):
        why = found.unmade.get("sound recipe") or known.not_run.get(RUNS)
        if why is not None:  # else the runs were made, and no choice accounts for it
            better = f"A skill of {reachable(found):.2f} is in reach, and the training ends at {found.own.skill:.2f}"
            return "unsure", f"{better}; the runs that could tell why were not made ({why})."
    if found is not None and found.telling and found.complete:
        return "healthy", ""
    # A training that ran until it was cut off has shown that it takes steps.
    asked = TELLING[:2] if found is not None and found.telling else TELLING
    none = (Verdict.SKIPPED, Verdict.ERROR)
    silent_ones = [one for one in known.symptoms if one.name in asked and one.verdict in none]
    if not silent_ones and found is None and known.own_loop:
        why = known.not_run.get(RUNS, "no time was left")
        return "unsure", f"The own loop was not run: {why}; the probes found nothing wrong with what goes into it."
    if not silent_ones:
        return "healthy", ""
    if found is not None:
        run = "the training was cut off" if found.telling else "all targets that it is judged on are alike"
    else:
        run = f"the training could not be run ({known.not_run.get(RUNS, 'no time was left')})"
    claims = "; ".join(f"{one.name}: {one.claim.removeprefix('Not measured: ').rstrip('.')}" for one in silent_ones)
    return "unsure", f"Neither the training nor the probes could say: {run}, and of the probes {claims}."


def _check(train: Batch, validation: Batch | None, batch_size: int, epochs: int) -> None:
    for name, data in (("train", train), ("validation", validation)):
        if data is None:
            continue
        pair = isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], Tensor)
        count = length(data[1]) if pair else None
        if count is None:
            kinds = f" of {', '.join(type(one).__name__ for one in data)}" if isinstance(data, tuple) else ""
            raise ValueError(
                f"got {name}={type(data).__name__}{kinds}; expected a tuple (inputs, targets) of two tensors, or of "
                "one and a structure of tensors of one length. Convert the data with torch.as_tensor."
            )
        if len(data[0]) != count or len(data[0]) == 0:
            raise ValueError(
                f"got {len(data[0])} inputs and {count} targets in {name}; expected as many of both, at least "
                "1. Pair every input with its target."
            )
    if not all(isinstance(one, int) and one >= 1 for one in (batch_size, epochs)):
        raise ValueError(
            f"got batch_size={batch_size!r} and epochs={epochs!r}; expected whole numbers of at least 1. Correct them."
        )


def _probe(setup: Setup, deadline: float, on_progress: Listener) -> Iterator[Symptom]:
    for position, (name, probe) in enumerate(PROBES.items()):
        if time.perf_counter() > deadline:
            claim = "Not measured: the time for probes was spent."
            yield Symptom(name=name, verdict=Verdict.SKIPPED, claim=claim)
            continue
        on_progress(Progress("probe", position, len(PROBES), name))
        yield probe(setup)
    on_progress(Progress("probe", len(PROBES), len(PROBES), finished=True))


def _scores(found: Evidence) -> dict[str, float]:
    made = {
        "own loop": found.own.skill,
        "plain loop": found.plain.skill,
        "sound recipe": found.reference,
        "classical learner": found.ceiling,
        "in reach": reachable(found),
    }
    alone = {f"{one.name} made sound": one.alone for one in found.tried if one.alone is not None}
    return made | alone
