"""The training of a subject once more from its birth: what probes and detectors say about it."""

import itertools

import torch

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict
from equipoise.core.finding import Finding
from equipoise.examine.planned.program import program_of_plan
from equipoise.examine.probes.all import PROBES
from equipoise.examine.probes.setup import Setup, batches, experiment, plain_step, running
from equipoise.examine.question import Card, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.examine.workload import seconds_per_sample
from equipoise.vitals.watch import watch

WATCHED_STEPS = 128
"""Steps of the training that are taken again under watch."""
PASS = 3
"""A step costs about so many forward passes."""


def setup_of(subject: Subject) -> Setup:
    """Return the training that made a subject as a plain loop, with its network as it was born.

    Raises:
        InapplicableError: The network was trained elsewhere, or no plain loop does what its training did.
    """
    return subject.once("planned setup", lambda: _setup(subject))


def _setup(subject: Subject) -> Setup:
    plan = subject.plan
    if plan is None:
        raise InapplicableError("the network was trained elsewhere, so its training cannot be asked about")
    if plan.network.family in ("foreign",):
        raise InapplicableError("the network came from elsewhere, so how it was born is not known")
    try:
        return Setup(**program_of_plan(plan, subject.splits).arguments)
    except ValueError as problem:
        raise InapplicableError(str(problem)) from None


def cost_of(subject: Subject, samples: float) -> float:
    """Return about how many seconds it takes to pass some samples forward, and to set the training up."""
    if subject.plan is None:
        return 0.0
    return 0.1 + samples * seconds_per_sample(subject)


def probed(card: Card, subject: Subject, *names: str) -> Finding:
    """Return the finding of a question that asks probes: the worst of what they say, in their words.

    Raises:
        InapplicableError: None of them could be made; the message is the first reason.
    """
    setup = setup_of(subject)
    return told(card, [subject.once(f"probe {name}", lambda name=name: PROBES[name](setup)) for name in names])


def told(card: Card, symptoms: list[Symptom], otherwise: str = "") -> Finding:
    """Return a finding in the words of symptoms.

    Args:
        card: The question.
        symptoms: What probes or detectors said.
        otherwise: The claim where there is no symptom at all.

    Raises:
        InapplicableError: Every one of them was skipped.
    """
    asked = [one for one in symptoms if one.verdict is not Verdict.SKIPPED]
    if symptoms and not asked:
        raise InapplicableError(symptoms[0].claim.removeprefix("Not measured: ").rstrip("."))
    worst = max((one.verdict for one in asked), key=lambda one: one.severity, default=Verdict.PASS)
    shown = [one for one in asked if one.verdict is worst]
    estimates: dict[str, Estimate] = {}
    for one in asked:
        for name, estimate in one.estimates.items():
            estimates.setdefault(name, estimate)
    return Finding(
        question=card.id,
        theme=card.theme,
        title=card.title,
        verdict=worst,
        claim=" ".join(dict.fromkeys(one.claim for one in shown)) or otherwise,
        estimates=estimates,
        where=tuple(dict.fromkeys(place for one in shown for place in one.where)),
        treatments=() if worst is Verdict.PASS else card.may_help,
        assumptions=("Asked of the network as it was born, on the training part, with the recipe's loss and steps.",),
    )


def watched(subject: Subject) -> tuple[tuple[Symptom, ...], int]:
    """Return what the streaming detectors see in the first steps of the training, and how many steps those were.

    Raises:
        InapplicableError: As `setup_of`.
    """
    setup = setup_of(subject)
    return subject.once("watched", lambda: _watched(setup))


def _watched(setup: Setup) -> tuple[tuple[Symptom, ...], int]:
    taken = 0
    with experiment():
        state = running(setup)
        state.network.train()
        generator = torch.Generator().manual_seed(0)
        with watch(state.network, state.optimizer) as vitals:
            for batch in itertools.islice(batches(setup, generator), WATCHED_STEPS):
                plain_step(setup.loss, state.network, state.optimizer, batch)
                taken += 1
    return vitals.symptoms(), taken
