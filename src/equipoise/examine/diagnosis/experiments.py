"""The runs of a diagnosis: the training as it is, the sound recipe, each choice changed alone and left out alone."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from equipoise.core.progress import Listener, Progress, silent
from equipoise.examine.diagnosis.activity import Activity, activity
from equipoise.examine.diagnosis.aspects import Aspect, aspects
from equipoise.examine.diagnosis.classical import ceiling, learnable
from equipoise.examine.diagnosis.draft import Draft
from equipoise.examine.diagnosis.evidence import SLACK, Course, Evidence, Tried
from equipoise.examine.diagnosis.runs import Judge, Outcome, evaluated, judged_rows, optimizer_like, plain, run
from equipoise.examine.diagnosis.scoring import Score, gain, goal_of, threshold
from equipoise.examine.probes.setup import Running, Setup, batches, experiment, plain_step, restarted, take_step

LOOKED_AT = 256
"""Rows on which the units of a network are looked at."""
ENOUGH = 0.97
"""A training with at least this skill has nothing to gain that is worth a run."""
LEAST_GAP = 0.04
"""Skill below the sound recipe from which on choices are tried one by one."""
WORTH = 0.05
"""A gain in skill below this is worth no further run."""
RUNS = 30
"""About how many runs a diagnosis makes."""
MOST_STEPS = 1500
LEAST_STEPS = 150
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


def gather(setup: Setup, deadline: float, on_progress: Listener = silent) -> Evidence:
    """Run the training and its variations, and return what they show.

    Args:
        setup: The training as its user wrote it.
        deadline: Value of `time.perf_counter` at which to stop; what is left out is missing in the evidence.
        on_progress: Told of every run.

    Raises:
        CannotRestartError: It cannot be started anew.
    """
    draft = draft_of(setup)
    told = _Teller(on_progress)
    plain_run = told.run("plain", lambda: run(draft.setup, draft.judge, deadline=deadline))
    same, movement = compare_steps(setup)
    own_run = plain_run
    if setup.step is not None:
        own_run = told.run("own loop", lambda: run(setup, draft.judge, deadline=deadline))
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
        rate=rate_of(draft),
        is_plain=same,
        movement=movement,
    )
    if min(own.skill, plain_run.score.skill) >= ENOUGH:
        return found
    return _varied(found, draft, plain_run, deadline, told)


def rate_of(draft: Draft) -> float:
    """Return the learning rate of a training's first parameter group; negative where it climbs."""
    group = draft.make_optimizer(draft.setup.network.parameters()).param_groups[0]
    rate = float(group.get("lr", 1e-3))
    return -rate if group.get("maximize") else rate


def _varied(found: Evidence, draft: Draft, base: Outcome, deadline: float, told: "_Teller") -> Evidence:
    """Return the evidence with the sound recipe and with every choice changed."""
    shorter = shortened(draft, base.seconds, deadline)
    if shorter is not draft:
        draft, base = shorter, told.run("shorter", lambda: _run_of(shorter, deadline))
    choices = aspects(draft)
    short = tuple(choice for choice in choices if choice.name != "epochs")
    recipe = short
    sound = told.run("sound recipe", lambda: _run_of(recipe_of(draft, short), deadline))
    in_time = sound
    if sound.score.skill < ENOUGH:
        longer = _attempt(told, "sound recipe, longer", lambda: _run_of(recipe_of(draft, choices), deadline))
        if longer is not None and longer.score.skill > sound.score.skill + WORTH:
            sound, recipe = longer, choices
    _, z = gain(base.score, sound.score)
    found = replace(found, reference=sound.score.skill, reference_z=z, base=base.score.skill)
    if max(sound.score.skill, found.ceiling - SLACK) - min(found.own.skill, base.score.skill) < LEAST_GAP:
        return found  # nothing that is known to work does better: no choice can be to blame
    tried = [_alone(choice, draft, base, deadline, told) for choice in choices]
    best = max([sound.score.skill, *(one.alone for one in tried if one.alone is not None)])
    if best - found.plain.skill > WORTH:
        tried = [_left_out(one, draft, recipe, deadline, told) for one in tried]
        tried = [replace(one, without=in_time.score.skill) if one.name == "epochs" else one for one in tried]
    return replace(found, tried=tuple(tried))


def shortened(draft: Draft, seconds: float, deadline: float) -> Draft:
    """Return the training with fewer epochs where it is too long to be repeated for every choice.

    Args:
        draft: The training.
        seconds: How long it took.
        deadline: When all runs must be done.
    """
    setup = draft.setup
    per_epoch = math.ceil(len(setup.train[0]) / setup.batch_size)
    affordable = (deadline - time.perf_counter()) / RUNS / max(seconds, 1e-3) * setup.epochs * per_epoch
    epochs = max(1, math.ceil(min(MOST_STEPS, max(affordable, LEAST_STEPS)) / per_epoch))
    return draft if epochs >= setup.epochs else replace(draft, setup=replace(setup, epochs=epochs))


def _alone(choice: Aspect, draft: Draft, base: Outcome, deadline: float, told: "_Teller") -> Tried:
    """Return what making one choice sound does to the training as it is; the best of its alternatives."""
    one = Tried(choice.name, choice.faults, choice.where, choice.doubt)
    for change in choice.changes:
        if time.perf_counter() > deadline:
            break
        outcome = _attempt(told, choice.name, lambda change=change: _run_of(change(draft), deadline))
        if outcome is not None and (one.alone is None or outcome.score.skill > one.alone):
            _, z = gain(base.score, outcome.score)
            one = replace(one, alone=outcome.score.skill, alone_z=z, alone_balanced=outcome.score.balanced)
    return one


def _left_out(one: Tried, draft: Draft, recipe: tuple[Aspect, ...], deadline: float, told: "_Teller") -> Tried:
    """Return what leaving one choice as it is does to the sound recipe."""
    in_recipe = {choice.name for choice in recipe if belongs(choice)}
    if one.name not in in_recipe or one.name == "epochs" or time.perf_counter() > deadline:
        return one
    without = recipe_of(draft, tuple(choice for choice in recipe if choice.name != one.name))
    outcome = _attempt(told, f"all but {one.name}", lambda: _run_of(without, deadline))
    return one if outcome is None else replace(one, without=outcome.score.skill)


def belongs(choice: Aspect) -> bool:
    """Return whether a choice is made sound in the sound recipe."""
    if choice.name in ("output-activation", "loss", "rate-up", "rate-down", "class-weights"):
        return False  # the head covers the first two, Adam at its usual rate the next two
    return choice.doubt >= (0.4 if choice.name in ("weights", "squashing") else 0.1)


def recipe_of(draft: Draft, choices: tuple[Aspect, ...]) -> Draft:
    """Return the training with every choice made sound that looks unsound."""
    made = draft
    for choice in choices:
        if belongs(choice):
            made = choice.changes[0](made)
    return made


def _run_of(draft: Draft, deadline: float) -> Outcome:
    return run(draft.setup, draft.judge, deadline=deadline)


def _attempt(told: "_Teller", name: str, work: Callable[[], Outcome]) -> Outcome | None:
    try:
        return told.run(name, work)
    except Exception:  # a variation that this network cannot take says nothing about the training
        return None


class _Teller:
    """Tells a listener of every run."""

    def __init__(self, on_progress: Listener) -> None:
        self.on_progress = on_progress
        self.done = 0

    def run(self, name: str, work: Callable[[], Outcome]) -> Outcome:
        """Do the work and return its outcome."""
        outcome = work()
        self.done += 1
        self.on_progress(Progress("diagnose", self.done, 0, name))
        return outcome


def compare_steps(setup: Setup) -> tuple[bool, float]:
    """Return whether the loop's own steps are plain steps, and how far they move over how far plain ones do.

    Both start from one copy of the weights and take the same batches under the same random numbers.
    """
    if setup.step is None:
        return True, 1.0
    with experiment():
        own = restarted(setup)
        own.network.train(own.network.training)
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
