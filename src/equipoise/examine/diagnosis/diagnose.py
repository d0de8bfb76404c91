"""Find what is wrong with a training, where and why: `equipoise.diagnose`."""

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Diagnosis, Symptom
from equipoise.core.estimate import Verdict
from equipoise.core.progress import Listener, Progress, silent
from equipoise.examine.diagnosis.causes import causes, reachable
from equipoise.examine.diagnosis.evidence import Evidence
from equipoise.examine.diagnosis.experiments import gather
from equipoise.examine.probes.all import PROBES
from equipoise.examine.probes.probe import untouched
from equipoise.examine.probes.setup import (
    Batch,
    Begin,
    CannotRestartError,
    Evaluate,
    Loss,
    MakeOptimizer,
    Setup,
    Step,
    experiment,
)

RAISES = "the training cannot be run"
PROBING_SHARE = 0.4
"""Share of the budget after which no further probe is begun."""
INTERRUPTED = "interrupted"
"""Key of `Diagnosis.skipped` for a diagnosis that was cut off by the user; it claims no health."""
RUNS = "counterfactual runs"
"""Key of `Diagnosis.skipped` for runs that could not be made."""


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
        train: Inputs (n, ...) and targets (n, ...) as the loop sees them.
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
        ValueError: Data of different lengths, none at all, or a batch size or number of epochs below 1.
    """
    began = time.perf_counter()
    _check(train, validation, batch_size, epochs)
    setup = Setup(network, loss, optimizer, train, validation, batch_size, epochs, shuffle, step, begin, evaluate)
    symptoms: list[Symptom] = []
    found: Evidence | None = None
    not_run: dict[str, str] = {}
    try:
        with experiment():
            for symptom in _probe(setup, began + PROBING_SHARE * budget_s, on_progress):
                symptoms.append(symptom)
            found, not_run = _gathered(setup, began + 0.9 * budget_s, tuple(symptoms), on_progress)
    except KeyboardInterrupt:
        not_run = {INTERRUPTED: "this is what was known by then"}
    on_progress(Progress("diagnose", 0, 0, finished=True))
    return _concluded(found, symptoms, not_run, time.perf_counter() - began)


def _concluded(found: Evidence | None, symptoms: list[Symptom], not_run: dict[str, str], seconds: float) -> Diagnosis:
    named = causes(found, symptoms, raises=not_run.get(RUNS, "").startswith(RAISES))
    symptoms += () if found is None else found.heard
    return Diagnosis(
        healthy=not named and INTERRUPTED not in not_run,
        causes=named,
        symptoms=tuple(sorted(symptoms, key=lambda one: -one.verdict.severity)),
        score={} if found is None else _scores(found),
        skipped={one.name: one.claim for one in symptoms if one.verdict is Verdict.SKIPPED} | not_run,
        seconds=seconds,
    )


def _gathered(
    setup: Setup, deadline: float, symptoms: tuple[Symptom, ...], on_progress: Listener
) -> tuple[Evidence | None, dict[str, str]]:
    """Return what the runs found, or None with the reason."""
    try:
        with untouched(setup), experiment():
            return gather(setup, deadline, symptoms, on_progress), {}
    except CannotRestartError as reason:
        return None, {RUNS: str(reason)}
    except Exception as problem:  # the user's network, loss or loop breaks: the probes have said how
        return None, {RUNS: f"{RAISES}: {type(problem).__name__}: {problem}"}


def _check(train: Batch, validation: Batch | None, batch_size: int, epochs: int) -> None:
    for name, data in (("train", train), ("validation", validation)):
        if data is None:
            continue
        if not (isinstance(data, tuple) and len(data) == 2 and all(isinstance(one, Tensor) for one in data)):
            raise ValueError(
                f"got {name}={type(data).__name__}; expected a tuple (inputs, targets) of two tensors. "
                "Convert the data with torch.as_tensor."
            )
        if len(data[0]) != len(data[1]) or len(data[0]) == 0:
            raise ValueError(
                f"got {len(data[0])} inputs and {len(data[1])} targets in {name}; expected as many of both, at least "
                "1. Pair every input with its target."
            )
    if batch_size < 1 or epochs < 1:
        raise ValueError(
            f"got batch_size={batch_size} and epochs={epochs}; expected both to be at least 1. Correct them."
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
