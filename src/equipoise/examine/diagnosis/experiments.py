"""The runs of a diagnosis: the training as it is, the sound recipe, each choice changed alone and left out alone."""

import copy
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.core.progress import Listener, silent
from equipoise.examine.diagnosis.activity import Activity, activity
from equipoise.examine.diagnosis.classical import ceiling, learnable
from equipoise.examine.diagnosis.draft import Draft
from equipoise.examine.diagnosis.evidence import Course, Evidence
from equipoise.examine.diagnosis.judge import Judge, judge_of
from equipoise.examine.diagnosis.runs import Outcome, plain, run
from equipoise.examine.diagnosis.scoring import Score
from equipoise.examine.diagnosis.variations import ENOUGH, WORTH, Base, Teller, raised, varied
from equipoise.examine.probes.optimizers import optimizer_like
from equipoise.examine.probes.setup import (
    Batch,
    CannotRestartError,
    Running,
    Setup,
    batches,
    experiment,
    plain_step,
    restarted,
    rows,
    take_step,
)

CERTAIN = 6.0
"""A probe with this weight saw the mechanism itself."""
EXPLAINING = frozenset(
    {
        "shape_broadcast",
        "gradient_ascent",
        "parameters_without_gradient",
        "parameters_not_updated",
        "missing_zero_grad",
        "batch_mixing",
        "train_eval_mode",
        "wrong_labels",
    }
)
"""Faults beside which no other choice needs to be asked about: the training did not do what it says."""
LOOKED_AT = 256
"""Rows on which the units of a network are looked at."""
STEPS_COMPARED = 6

Shares = tuple[tuple[float, str], tuple[float, str], tuple[float, str]]


class OwnRunError(Exception):
    """Raised when the user's own training raises; the message says what."""


@contextmanager
def own_part() -> Iterator[None]:
    """Tell what the user's own training raises apart from what breaks in a run of ours.

    Raises:
        OwnRunError: Something was raised inside.
    """
    try:
        yield
    except CannotRestartError:
        raise
    except Exception as problem:  # a training may raise anything
        raise OwnRunError(raised(problem)) from problem


def draft_of(setup: Setup) -> Draft:
    """Return the training with a plain loop and the judge of its task.

    Raises:
        CannotRestartError: It cannot be started anew, or not be judged.
        OwnRunError: It raises at its start.
    """
    with experiment():
        with own_part():
            start = restarted(setup)
        try:
            judge = judge_of(setup, start.network)
        except Exception as problem:  # the network may need more than its inputs
            with own_part():
                take_step(setup, restarted(setup), rows(setup.train, slice(0, setup.batch_size)))
            raise CannotRestartError(f"its loop runs, but its outputs cannot be judged: {raised(problem)}") from problem
    made = setup.optimizer
    if isinstance(made, Optimizer) or setup.begin is not None:
        if not isinstance(start.optimizer, Optimizer):
            raise CannotRestartError(f"its optimiser is a {type(start.optimizer).__name__}, of which no other is made")
        made = optimizer_like(start.optimizer, start.network)
    return Draft(replace(plain(setup), network=start.network, optimizer=made), judge)


def gather(
    setup: Setup, deadline: float, symptoms: Sequence[Symptom] = (), on_progress: Listener = silent
) -> Iterator[Evidence]:
    """Run the training and its variations, and yield what they show, ever more of it.

    Args:
        setup: The training as its user wrote it.
        deadline: Value of `time.perf_counter` at which to stop; what is left out is missing in the evidence.
        symptoms: What the probes saw; it decides which runs are worth their time.
        on_progress: Told of every run.

    Raises:
        CannotRestartError: It cannot be started anew, or not be judged.
        OwnRunError: It raises.
    """
    draft = draft_of(setup)
    told = Teller(on_progress, deadline)
    found = None
    for found in _gathered(setup, draft, told, symptoms):
        yield replace(found, unmade=dict(told.unmade))
    if found is not None and told.unmade:
        yield replace(found, unmade=dict(told.unmade))


def _gathered(setup: Setup, draft: Draft, told: Teller, symptoms: Sequence[Symptom]) -> Iterator[Evidence]:
    whose, as_it_is = ("plain", draft.setup) if setup.step is None else ("own loop", setup)
    with own_part():
        own_run = told.run(whose, lambda: run(as_it_is, draft.judge, deadline=told.deadline, listening=True))
        seen = judged_by_user(setup, draft.judge, own_run)
    own = course(own_run, seen.skill, seen.balanced, draft)
    found = Evidence(
        own=own,
        plain=own,
        own_plainly=own_run.score.skill,
        reference=own_run.score.skill,
        at_birth=_shares(activity(draft.setup.network, draft.setup.train[0][:LOOKED_AT].clone())),
        heard=own_run.symptoms,
        rate=rate_of(draft),
        complete=own_run.complete,
        telling=_is_telling(draft.judge),
    )
    yield found
    plain_run: Outcome | None = own_run
    if setup.step is not None:
        found, plain_run = _beside(found, setup, draft, own_run, told)
        yield found
    found = _by_classical(found, draft, told)
    yield found
    if plain_run is None or not plain_run.complete or min(own.skill, plain_run.score.skill) >= ENOUGH:
        return
    explained = any(
        one.verdict is Verdict.FAIL and fault in EXPLAINING and weight >= CERTAIN
        for one in symptoms
        for fault, weight in one.suggests.items()
    )
    paired = any(one.name == "loss-pairing" and one.verdict is Verdict.PASS for one in symptoms)
    base = Base(plain_run.score, plain_run.seconds)
    yield from varied(found, draft, base, told, explained=explained, paired=paired)


def _beside(
    found: Evidence, setup: Setup, draft: Draft, own_run: Outcome, told: Teller
) -> tuple[Evidence, Outcome | None]:
    """Return the evidence with a plain loop beside the user's own, and the run of it, where that can be made."""
    compared = told.attempt("steps beside plain ones", lambda: compare_steps(setup, told.deadline))
    plain_run = told.attempt("plain", lambda: run(draft.setup, draft.judge, deadline=told.deadline))
    if plain_run is None or not plain_run.complete:
        return found, None
    same, movement = compared or (True, 1.0)
    return (
        replace(
            found,
            plain=course(plain_run, plain_run.score.skill, plain_run.score.balanced, draft),
            reference=plain_run.score.skill,
            # A schedule shows only later.
            is_plain=same and abs(own_run.score.skill - plain_run.score.skill) < WORTH,
            movement=movement,
        ),
        plain_run,
    )


def _by_classical(found: Evidence, draft: Draft, told: Teller) -> Evidence:
    """Return the evidence with what classical learners reach on the judged rows, and on training rows alone."""
    train, judge = draft.setup.train, draft.judge
    alone = told.attempt("classical learners by halves", lambda: learnable(train, judge, told.deadline))
    judged = alone  # on the rows that they learned, learners know everything
    if draft.setup.validation is not None:
        judged = told.attempt("classical learners", lambda: ceiling(train, judge, told.deadline))
    return replace(
        found,
        ceiling=found.ceiling if judged is None else judged,
        learnable=found.learnable if alone is None else alone,
    )


def _is_telling(judge: Judge) -> bool:
    """Return whether a score can tell answers apart: not where all targets are alike."""
    targets = judge.data[1]
    return judge.own is not None or len(targets.reshape(len(targets), -1).unique(dim=0)) > 1


def rate_of(draft: Draft) -> float:
    """Return the largest learning rate of a training's parameter groups; negative where that group climbs."""
    groups = draft.make_optimizer(draft.setup.network.parameters()).param_groups
    rates = [float(group.get("lr", 1e-3)) * (-1 if group.get("maximize") else 1) for group in groups]
    return max(rates, key=abs)


def compare_steps(setup: Setup, deadline: float = math.inf) -> tuple[bool, float]:
    """Return whether the loop's own steps are plain steps, and how far they move over how far plain ones do.

    Both start from one copy of the weights and take the same batches under the same random numbers.

    Args:
        setup: The training, with a loop of its own.
        deadline: Value of `time.perf_counter` from which no further step is compared.
    """
    with experiment():
        own = restarted(setup)
        network = copy.deepcopy(own.network)
        twin = Running(network, optimizer_like(own.optimizer, own.network)(network.parameters()))
    first = {name: one.detach().clone() for name, one in twin.network.named_parameters()}
    given = batches(setup, torch.Generator().manual_seed(3), epochs=STEPS_COMPARED)
    taken: list[Batch] = []
    with experiment(seed=3):
        for batch in itertools.islice(given, STEPS_COMPARED):
            take_step(setup, own, batch)
            taken.append(batch)
            if time.perf_counter() > deadline:
                break
    with experiment(seed=3):
        for batch in taken:
            plain_step(setup.loss, twin.network, twin.optimizer, batch)
    moved = [_moved(state, first) for state in (own, twin)]
    same = all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-7)
        for a, b in zip(own.network.state_dict().values(), twin.network.state_dict().values(), strict=False)
    )
    return same, moved[0] / moved[1] if moved[1] > 0 else 1.0


def _moved(state: Running, first: dict[str, Tensor]) -> float:
    total = sum(
        float((one.detach() - first[name]).square().sum())
        for name, one in state.network.named_parameters()
        if name in first and first[name].shape == one.shape
    )
    return math.sqrt(total)


def judged_by_user(setup: Setup, judge: Judge, outcome: Outcome) -> Score:
    """Return the score of a trained network as the user's own evaluation sees it."""
    if setup.evaluate is None or not outcome.complete:
        return outcome.score
    answer = partial(setup.evaluate, outcome.state.network)
    with experiment():
        if judge.own is None:
            return judge.by(answer)
        try:
            return judge.by(answer)
        except Exception:  # it returns answers, of which the loss makes nothing
            return outcome.score


def course(outcome: Outcome, skill: float, balanced: float, draft: Draft) -> Course:
    """Return how a run went, as plain numbers."""
    losses = outcome.losses
    start = float(np.mean(losses[: max(1, min(len(losses) // 8, 5))]))
    late = losses[-max(2, len(losses) // 4) :]
    held = np.array([look.loss for look in outcome.looks])
    rise = float(held[-1] - np.nanmin(held)) if np.isfinite(held).any() and np.isfinite(held[-1]) else 0.0
    known = [look.update for look in outcome.looks if math.isfinite(look.update)]
    shares = _shares(activity(outcome.state.network, draft.setup.train[0][:LOOKED_AT].clone()))
    return Course(
        skill=skill,
        balanced=balanced,
        train=outcome.train.skill,
        finite=outcome.finite,
        steps=len(losses),
        epochs=draft.setup.epochs,
        jumps=float(np.std(late)) / (abs(start) or 1.0),
        loss_rise=rise / max(1e-12, abs(float(held[0]))),
        update=float(np.median(known)) if known else math.nan,
        dead=shares[0],
        saturated=shares[1],
        constant=shares[2],
    )


def _shares(layers: tuple[Activity, ...]) -> Shares:
    def worst(value: Callable[[Activity], float]) -> tuple[float, str]:
        if not layers:
            return 0.0, ""
        one = max(layers, key=value)
        return value(one), one.path

    return worst(lambda one: one.dead), worst(lambda one: one.saturated), worst(lambda one: one.constant)
