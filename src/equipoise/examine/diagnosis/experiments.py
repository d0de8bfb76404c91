"""The runs of a diagnosis: the training as it is, the sound recipe, each choice changed alone and left out alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.core.progress import Listener, silent
from equipoise.examine.diagnosis.activity import Activity, activity
from equipoise.examine.diagnosis.classical import ceiling, learnable
from equipoise.examine.diagnosis.draft import Draft
from equipoise.examine.diagnosis.evidence import Course, Evidence
from equipoise.examine.diagnosis.runs import Judge, Outcome, evaluated, judged_rows, optimizer_like, plain, run
from equipoise.examine.diagnosis.scoring import Score, goal_of, threshold
from equipoise.examine.diagnosis.variations import ENOUGH, WORTH, Teller, varied
from equipoise.examine.probes.setup import Running, Setup, batches, experiment, plain_step, restarted, take_step

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


def draft_of(setup: Setup) -> Draft:
    """Return the training with a plain loop and the judge of its task.

    Raises:
        CannotRestartError: It cannot be started anew.
    """
    with experiment():
        start = restarted(setup)
    outputs = evaluated(start.network, setup.train[0][:64])
    goal = goal_of(setup.train[1], outputs)
    cut = threshold(setup.loss, outputs, setup.train[1][:64])
    judge = Judge(goal, cut, judged_rows(setup.validation or setup.train))
    made = setup.optimizer
    if isinstance(made, torch.optim.Optimizer) or setup.begin is not None:
        made = optimizer_like(start.optimizer)
    return Draft(replace(plain(setup), network=start.network, optimizer=made), judge)


def gather(setup: Setup, deadline: float, symptoms: Sequence[Symptom] = (), on_progress: Listener = silent) -> Evidence:
    """Run the training and its variations, and return what they show.

    Args:
        setup: The training as its user wrote it.
        deadline: Value of `time.perf_counter` at which to stop; what is left out is missing in the evidence.
        symptoms: What the probes saw; it decides which runs are worth their time.
        on_progress: Told of every run.

    Raises:
        CannotRestartError: It cannot be started anew.
    """
    draft = draft_of(setup)
    told = Teller(on_progress)
    plain_run = told.run(
        "plain", lambda: run(draft.setup, draft.judge, deadline=deadline, listening=setup.step is None)
    )
    same, movement = compare_steps(setup)
    own_run = plain_run
    if setup.step is not None:
        own_run = told.run("own loop", lambda: run(setup, draft.judge, deadline=deadline, listening=True))
        # A schedule shows only later.
        same = same and abs(own_run.score.skill - plain_run.score.skill) < WORTH
    seen = judged_by_user(setup, draft.judge, own_run)
    own = course(own_run, seen.skill, seen.balanced, draft)
    birth = _shares(activity(draft.setup.network, draft.setup.train[0][:LOOKED_AT]))
    found = Evidence(
        own=own,
        plain=course(plain_run, plain_run.score.skill, plain_run.score.balanced, draft),
        own_plainly=own_run.score.skill,
        reference=plain_run.score.skill,
        ceiling=ceiling(draft.setup.train, draft.judge),
        learnable=learnable(draft.setup.train, draft.judge),
        at_birth=birth,
        heard=own_run.symptoms,
        rate=rate_of(draft),
        is_plain=same,
        movement=movement,
    )
    if not plain_run.complete or min(own.skill, plain_run.score.skill) >= ENOUGH:
        return found
    explained = any(
        one.verdict is Verdict.FAIL and fault in EXPLAINING and weight >= CERTAIN
        for one in symptoms
        for fault, weight in one.suggests.items()
    )
    paired = any(one.name == "loss-pairing" and one.verdict is Verdict.PASS for one in symptoms)
    return varied(found, draft, plain_run, deadline, told, explained=explained, paired=paired)


def rate_of(draft: Draft) -> float:
    """Return the learning rate of a training's first parameter group; negative where it climbs."""
    group = draft.make_optimizer(draft.setup.network.parameters()).param_groups[0]
    rate = float(group.get("lr", 1e-3))
    return -rate if group.get("maximize") else rate


def compare_steps(setup: Setup) -> tuple[bool, float]:
    """Return whether the loop's own steps are plain steps, and how far they move over how far plain ones do.

    Both start from one copy of the weights and take the same batches under the same random numbers.
    """
    if setup.step is None:
        return True, 1.0
    with experiment():
        own = restarted(setup)
        twin = _twin(own)
    first = {name: one.detach().clone() for name, one in twin.network.named_parameters()}
    for state, is_own in ((own, True), (twin, False)):
        with experiment(seed=3):
            generator = torch.Generator().manual_seed(3)
            for count, batch in enumerate(batches(setup, generator, epochs=STEPS_COMPARED)):
                if count == STEPS_COMPARED:
                    break
                if is_own:
                    take_step(setup, state, batch)
                else:
                    plain_step(setup.loss, state.network, state.optimizer, batch)
    moved = [_moved(state, first) for state in (own, twin)]
    same = all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-7)
        for a, b in zip(own.network.state_dict().values(), twin.network.state_dict().values(), strict=False)
    )
    return same, moved[0] / moved[1] if moved[1] > 0 else 1.0


def _twin(own: Running) -> Running:
    import copy

    network = copy.deepcopy(own.network)
    return Running(network, optimizer_like(own.optimizer)(network.parameters()))


def _moved(state: Running, first: dict[str, Tensor]) -> float:
    total = sum(
        float((one.detach() - first[name]).square().sum())
        for name, one in state.network.named_parameters()
        if name in first and first[name].shape == one.shape
    )
    return math.sqrt(total)


def judged_by_user(setup: Setup, judge: Judge, outcome: Outcome) -> Score:
    """Return the score of a trained network as the user's own evaluation sees it."""
    if setup.evaluate is None:
        return outcome.score
    with experiment(), torch.no_grad():
        outputs = setup.evaluate(outcome.state.network, judge.data[0])
    return judge.of(torch.as_tensor(outputs), judge.data[1])


def course(outcome: Outcome, skill: float, balanced: float, draft: Draft) -> Course:
    """Return how a run went, as plain numbers."""
    losses = outcome.losses
    size = max(1, len(losses) // 8)
    start = float(np.mean(losses[: max(1, min(size, 5))]))
    scale = abs(start) if start else 1.0
    late = losses[-max(2, len(losses) // 4) :]
    halves = np.array_split(late, 2)
    trend = float(np.mean(halves[0]) - np.mean(halves[1])) * 2 if len(late) > 3 else 0.0
    held = outcome.held_losses
    rise = float(held[-1] - np.nanmin(held)) if np.isfinite(held).any() and np.isfinite(held[-1]) else 0.0
    known = outcome.updates[np.isfinite(outcome.updates)]
    shares = _shares(activity(outcome.state.network, draft.setup.train[0][:LOOKED_AT]))
    return Course(
        skill=skill,
        balanced=balanced,
        best=outcome.best.skill,
        train=outcome.train.skill,
        finite=outcome.finite,
        steps=len(losses),
        epochs=draft.setup.epochs,
        fall=(start - float(np.mean(losses[-size:]))) / scale,
        late_fall=trend / scale,
        jumps=float(np.std(late)) / scale,
        loss_rise=rise / max(1e-12, abs(float(held[0]))),
        update=float(np.median(known)) if len(known) else math.nan,
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
