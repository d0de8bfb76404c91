"""Treat a training of one's own: diagnose it, find a plan that does better, and prove that it does.

The training is taken as it is, its own loop included; what comes out is a plan, and a network trained by it.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from equipoise.core.diagnosis import Diagnosis
from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, Progress, silent
from equipoise.core.trial import Trial
from equipoise.data.samples import Splits
from equipoise.data.select import select, train_on
from equipoise.examine.diagnosis.diagnose import INTERRUPTED as CUT_OFF
from equipoise.examine.diagnosis.diagnose import diagnose
from equipoise.examine.diagnosis.experiments import draft_of, judged_by_user
from equipoise.examine.diagnosis.judge import Judge
from equipoise.examine.diagnosis.runs import run
from equipoise.examine.probes.optimizers import MakeOptimizer
from equipoise.examine.probes.setup import (
    Batch,
    Begin,
    Evaluate,
    Loss,
    Setup,
    Step,
)
from equipoise.examine.probes.task import task_of
from equipoise.fit.cohort import Member, fit_members
from equipoise.fit.fitted import Fit
from equipoise.fit.held_out import assign_folds
from equipoise.fit.validation import all_targets
from equipoise.run.candidates import Candidate, first_candidates, next_candidates
from equipoise.run.purse import Purse, cost_of, within
from equipoise.run.translate import Translation, translate
from equipoise.treat.catalogue import treatments
from equipoise.trial.rule import Judgement, Rule
from equipoise.trial.rule import judge as judged

INTERRUPTED = "it was interrupted"
"""Why there is no trial where its user ended it."""

PAIRS = 6
"""Seeds of the trial: the fewest with which an exact test can decide at 5 %."""

LONGEST = 3.0
SEARCH = 40.0
MARGIN = 0.01
DIAGNOSING = 9.0
"""What the diagnosis may cost, in trainings as it is; then it ends with what it knows."""
DIAGNOSIS_S = 60.0
PERFECT = 0.995
"""A score from which on nothing further is tried."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A plan that was tried in the search.

    Attributes:
        what: What was changed.
        plan: The plan.
        score: Its score on the rows that decide, one seed.
        cost: What one training of it costs, by the cost of the training as it is.
    """

    what: str
    plan: Plan
    score: float
    cost: float


@dataclass(frozen=True, slots=True, eq=False)
class TreatedTraining:
    """A training of one's own after its treatment.

    Attributes:
        diagnosis: What was wrong.
        reason: Why there is no trial, or an empty string.
        tried: What the search tried, best first.
        trial: The proof: the best plan against the training as it is, on fresh seeds; None without a candidate.
        plan: The plan that was adopted, or None: keep the training as it is.
        fit: A network trained by it, or None.
        cost: What diagnosis, search and trial cost, in trainings as it is (samples x operations a sample).
        plan_cost: The same of one training by the plan.
        seconds: Wall-clock time of it all.
    """

    diagnosis: Diagnosis
    reason: str = ""
    tried: tuple[Tried, ...] = ()
    trial: Trial | None = None
    plan: Plan | None = None
    fit: Fit | None = None
    cost: float = 0.0
    plan_cost: float = 0.0
    seconds: float = 0.0


def treat_training(
    network: nn.Module,
    loss: Loss,
    optimizer: Optimizer | MakeOptimizer,
    *,
    train: Batch,
    validation: Batch | None = None,
    batch_size: int = 32,
    epochs: int = 10,
    shuffle: bool = True,
    step: Step | None = None,
    begin: Begin | None = None,
    evaluate: Evaluate | None = None,
    longest: float = LONGEST,
    search: float = SEARCH,
    seed: int = 0,
    on_progress: Listener = silent,
) -> TreatedTraining:
    """Return a plan that does what a training should, proven against the training as it is.

    The training is diagnosed; plans that cure what was found are tried on rows cut from its training part; the best one
    is compared with the training as it is on six fresh seeds, each with rows of its own that decide, by an exact test.
    Those rows choose nothing: the epoch that a plan keeps is chosen on rows cut from what is left to train on.
    Only a plan that passes is adopted, so nothing is made worse but by the error of the test. The held-out rows
    (`validation`) decide nothing.

    Args:
        network: The network, before its first step.
        loss: Maps (outputs, targets) to a scalar.
        optimizer: An optimiser of the network's parameters, or a function that makes one of parameters.
        train: Inputs (n, ...) and targets (n, ...) as the loop sees them.
        validation: The same, held out; they decide nothing.
        batch_size: Samples a step.
        epochs: Passes over the training data.
        shuffle: Whether the rows are drawn in a new order every epoch.
        step: The user's own loop body, as `diagnose` takes it.
        begin: Makes a fresh `(network, optimizer)` for that loop.
        evaluate: The user's own evaluation.
        longest: What one training by the plan may cost, in trainings as it is.
        search: What diagnosis, search and trial may cost together, in trainings as it is; a diagnosis takes what it
            needs for its probes, even where that is more.
        seed: First of the seeds.
        on_progress: Told of every training.

    Raises:
        ValueError: See `diagnose`.
    """
    given = Setup(network, loss, optimizer, train, validation, batch_size, epochs, shuffle, step, begin, evaluate)
    return _treated(given, Purse(search, longest), seed, on_progress)


def _treated(given: Setup, purse: Purse, seed: int, on_progress: Listener) -> TreatedTraining:
    began = time.perf_counter()
    diagnosis = _diagnosed(given, purse, on_progress)
    if CUT_OFF in diagnosis.skipped and purse.spent < DIAGNOSING:  # by its user, not by its cost
        return _ended(diagnosis, INTERRUPTED, purse, began)
    if diagnosis.healthy:
        return _ended(diagnosis, "nothing was found that is worth a change", purse, began)
    try:
        said = translated(given)
        said.splits(seed)
    except Exception as problem:  # a training may hold anything
        return _ended(diagnosis, f"no plan can say this training: {problem}", purse, began)
    tried: list[Tried] = []
    try:
        _search(said, diagnosis, purse, seed, tried, on_progress)
        if not tried:
            return _ended(diagnosis, "no plan was found that fits the cost", purse, began)
        best = _best(tried, purse)
        judgement, seeds, differences = _proven(said, best, purse, seed + 1, on_progress)
        adopted = judgement.outcome == "adopted"
        done = fitted(said, best.plan, seed + 1 + PAIRS) if adopted else None
    except KeyboardInterrupt:
        return _ended(diagnosis, INTERRUPTED, purse, began, tried)
    return TreatedTraining(
        diagnosis=diagnosis,
        tried=_best_first(tried),
        trial=_record(best, judgement, seeds, differences),
        plan=best.plan if adopted else None,
        fit=done,
        cost=purse.spent,
        plan_cost=best.cost,
        seconds=time.perf_counter() - began,
    )


def _best_first(tried: Sequence[Tried]) -> tuple[Tried, ...]:
    return tuple(sorted(tried, key=lambda one: (-one.score, one.cost)))


def _best(tried: Sequence[Tried], purse: Purse) -> Tried:
    """Return the best plan whose trial can be paid, or the cheapest."""
    affordable = [one for one in _best_first(tried) if purse.spent + PAIRS * (1 + one.cost) <= purse.most]
    return affordable[0] if affordable else min(tried, key=lambda one: one.cost)


def _ended(
    diagnosis: Diagnosis, reason: str, purse: Purse, began: float, tried: Sequence[Tried] = ()
) -> TreatedTraining:
    seconds = time.perf_counter() - began
    return TreatedTraining(diagnosis, reason, _best_first(tried), cost=purse.spent, seconds=seconds)


def _diagnosed(given: Setup, purse: Purse, on_progress: Listener) -> Diagnosis:
    """Diagnose, with as much time as some trainings take, and count the samples that it trained on."""
    steps = 0
    whole = given.epochs * math.ceil(len(given.train[0]) / given.batch_size)

    def note(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == math.ceil(DIAGNOSING * whole):
            raise KeyboardInterrupt  # a diagnosis that is interrupted says what it knows

    hook = register_optimizer_step_post_hook(note)
    try:
        found = diagnose(
            given.network,
            given.loss,
            given.optimizer,
            train=given.train,
            validation=given.validation,
            batch_size=given.batch_size,
            epochs=given.epochs,
            shuffle=given.shuffle,
            step=given.step,
            begin=given.begin,
            evaluate=given.evaluate,
            budget_s=DIAGNOSIS_S,
            on_progress=on_progress,
        )
    finally:
        hook.remove()
    purse.spent += steps / whole
    return found


def translated(given: Setup) -> Translation:
    """Return a training of one's own as a plan.

    Raises:
        ValueError: No plan can say it.
    """
    draft = draft_of(given)
    made = given.optimizer
    kept = made if isinstance(made, Optimizer) else draft.make_optimizer(draft.setup.network.parameters())
    task = draft.judge.task
    if task.kind == "opaque":  # a loss that makes nothing of its targets may be what is wrong
        task = task_of(draft.outputs(), given.train[1])
    return translate(given, task, kept)


def fitted(said: Translation, plan: Plan, seed: int) -> Fit:
    """Return a network trained by a plan on the rows of one seed."""
    return fit_members([Member(plan=plan, seed=seed, splits=said.splits(seed))]).members[0]


def score_of(said: Translation, done: Fit) -> float:
    """Return the score of a network of a plan on its validation rows, which rank the plans of a search."""
    return _scored(said, done, said.rows_of(done.splits, "validation"))


def _scored(said: Translation, done: Fit, rows: Batch) -> float:
    """Return the score of a network of a plan on some rows, as the diagnosis scores."""
    inputs, targets = rows
    outputs = said.outputs(done.network, inputs)
    return Judge(said.task, 0.5, (inputs, targets)).of(outputs, targets).value


def _search(
    said: Translation, diagnosis: Diagnosis, purse: Purse, seed: int, tried: list[Tried], on_progress: Listener
) -> None:
    """Try plans until what is left is needed for the trial, and add each to `tried`."""
    splits = said.splits(seed)
    faults = [cause.fault for cause in diagnosis.causes]
    helping = [one for fault in faults for one in treatments() if fault in one.treats]

    def attempt(candidate: Candidate) -> bool:
        plan = within(said, candidate.plan, splits, purse, candidate.most)
        cost = cost_of(said, plan, splits, purse)
        if tried and max(one.score for one in tried) >= PERFECT:
            return False
        if cost > purse.longest or (purse.spent + cost + PAIRS * (1 + cost) > purse.most and tried):
            return False
        if any(one.plan == plan for one in tried):
            return False
        on_progress(Progress("search", len(tried), 0, candidate.what))
        try:
            done = fitted(said, plan, seed)
        except ValueError:  # such as an augmentation of images for a table
            return False
        purse.spent += cost * done.epochs / plan.recipe.epochs
        tried.append(Tried(candidate.what, plan, score_of(said, done), cost))
        return True

    for candidate in first_candidates(said.plan, splits, helping):
        attempt(candidate)
    going = bool(tried)
    while going:
        best = max(tried, key=lambda one: one.score)
        before = best.score
        going = False
        for candidate in next_candidates(best.plan):
            if attempt(candidate) and tried[-1].score > before:
                going = True
                break


def _proven(
    said: Translation, best: Tried, purse: Purse, first: int, on_progress: Listener
) -> tuple[Judgement, tuple[int, ...], list[float]]:
    """Compare a plan with the training as it is, on seeds that the search has not seen."""
    seeds = tuple(range(first, first + PAIRS))
    parts = [said.splits(seed) for seed in seeds]
    # A plan keeps its best epoch; on rows of its own, since those that decide would flatter it.
    members = [
        Member(plan=best.plan, seed=seed, splits=_without_deciding(one, seed))
        for seed, one in zip(seeds, parts, strict=True)
    ]
    trained = fit_members(members, on_progress=on_progress).members
    treated = [_scored(said, done, said.rows_of(one, "validation")) for done, one in zip(trained, parts, strict=True)]
    differences = []
    for k, (seed, one) in enumerate(zip(seeds, parts, strict=True)):
        on_progress(Progress("trial", k, PAIRS, f"the training as it is, seed {seed}"))
        differences.append(treated[k] - _as_it_is(said, one, seed))
    purse.spent += PAIRS * (1 + best.cost)
    return judged(Rule(looks=(PAIRS,), margin=MARGIN), differences, {}), seeds, differences


def _without_deciding(splits: Splits, seed: int) -> Splits:
    """Return the data with as large a validation part cut from the training part; what it was is the test part."""
    labels = all_targets(splits.train).numpy() if splits.signature.task.classifies else None
    folds = max(2, round(1 + len(splits.train) / len(splits.validation)))
    fold_of = assign_folds(labels, len(splits.train), folds, seed)
    kept, cut = (torch.from_numpy(np.flatnonzero(one)) for one in (fold_of != 0, fold_of == 0))
    rows = {"validation": splits.rows["train"][cut.numpy()], "test": splits.rows["validation"]}
    part = train_on(splits, kept, "some of its rows choose the epoch")
    return replace(
        part,
        validation=select(splits.train, cut),
        test=splits.validation,
        rows={**part.rows, **rows},
        digest=f"{splits.digest}-apart",
    )


def _as_it_is(said: Translation, splits: Splits, seed: int) -> float:
    """Return the score of the user's own training on the rows that decide; a training that breaks has the worst."""
    held = said.rows_of(splits, "validation")
    setup = replace(said.setup, train=said.rows_of(splits, "train"), validation=held)
    try:
        own = draft_of(setup).judge
        judge = Judge(said.task, said.task.middle, held) if own.own is not None else replace(own, data=held)
        return judged_by_user(setup, judge, run(setup, judge, seed=seed)).value
    except Exception:  # a training may raise anything
        return 0.0


def _record(best: Tried, judgement: Judgement, seeds: Sequence[int], differences: Sequence[float]) -> Trial:
    rule = Rule(looks=(PAIRS,), margin=MARGIN)
    return Trial(
        treatment=best.what,
        metric="score on rows cut from the training part",
        seeds=tuple(seeds),
        differences=tuple(differences),
        effect=judgement.effect,
        p_value=judgement.look.p_value,
        level=rule.level,
        margin=rule.margin,
        cost_ratio=best.cost,
        outcome=judgement.outcome or "unsure",
        reason=f"{judgement.because}. The rule: {rule.said()}.",
    )
