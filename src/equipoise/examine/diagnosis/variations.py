"""The runs that separate causes: the sound recipe, each choice made sound alone, and each left as it is."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from equipoise.core.progress import Listener, Progress
from equipoise.examine.diagnosis.aspects import HEAD, Aspect, aspects
from equipoise.examine.diagnosis.draft import Draft
from equipoise.examine.diagnosis.evidence import SLACK, Evidence, Tried
from equipoise.examine.diagnosis.runs import OutOfTimeError, run_whole
from equipoise.examine.diagnosis.scoring import Score, gain
from equipoise.examine.probes.sampling import draw

ENOUGH = 0.97
"""A training with at least this skill has nothing to gain that is worth a run."""
LEAST_GAP = 0.04
"""Skill below the sound recipe from which on choices are tried one by one."""
WORTH = 0.05
"""A gain in skill below this is worth no further run."""
NOTABLE = 0.2
"""Share of the gap from which a choice that is enough is also left out, to see whether it is needed."""
DOUBTFUL = 0.5
RARE = 0.8
"""Mean recall over the classes below which rare classes may be missing."""
RUNS = 25
"""About how many runs a diagnosis makes."""
MOST_STEPS = 1500
LEAST_STEPS = 150
CHECKED = 16
"""Rows on which it is seen whether a network and a loss run."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """What a run came to, and how long it took."""

    score: Score
    seconds: float


class Teller:
    """Makes runs, tells a listener of them, and notes which could not be made.

    Args:
        on_progress: Told of every run.
        deadline: Value of `time.perf_counter` from which no run of ours is begun.

    Attributes:
        unmade: Runs of ours that raised, each with what they raised.
    """

    def __init__(self, on_progress: Listener, deadline: float) -> None:
        self.on_progress = on_progress
        self.deadline = deadline
        self.done = 0
        self.unmade: dict[str, str] = {}

    def run(self, name: str, work: Callable[[], Result]) -> Result:
        """Do the work and return its result."""
        self.on_progress(Progress("diagnose", self.done, 0, name))
        result = work()
        self.done += 1
        return result

    def attempt(self, name: str, work: Callable[[], Result]) -> Result | None:
        """Do the work and return its result, or None where the time is spent or this training cannot take it."""
        if time.perf_counter() > self.deadline:
            return None
        try:
            return self.run(name, work)
        except OutOfTimeError:
            return None
        except Exception as problem:  # it says nothing about the training
            self.unmade.setdefault(name, raised(problem))
            return None


def raised(problem: BaseException) -> str:
    """Return what was raised, in a line."""
    first_line = (str(problem).splitlines() or [""])[0][:160]
    return f"{type(problem).__name__}: {first_line}" if first_line else type(problem).__name__


def varied(
    found: Evidence, draft: Draft, base: Base, told: Teller, *, explained: bool, paired: bool
) -> Iterator[Evidence]:
    """Yield the evidence with the sound recipe, then with ever more choices changed where that can tell causes apart.

    Args:
        found: What the training as it is showed.
        draft: The training, with a plain loop.
        base: What its run came to.
        told: Makes the runs.
        explained: Whether a probe already saw a mechanism at work that explains everything.
        paired: Whether output, loss and targets were seen to go together.
    """
    shorter = shortened(draft, base.seconds, told.deadline)
    if shorter is not draft:
        again = told.attempt("shorter", lambda: _run_of(shorter, told.deadline))
        if again is None:
            return
        draft, base = shorter, again
    choices = aspects(draft)
    recipe = tuple(choice for choice in choices if choice.name != "epochs")
    sound = told.attempt("sound recipe", lambda: _run_of(recipe_of(draft, recipe), told.deadline))
    if sound is None:
        return  # it says nothing about what is in reach
    in_time = sound
    if sound.score.skill < ENOUGH:
        longer = told.attempt("sound recipe, longer", lambda: _run_of(recipe_of(draft, choices), told.deadline))
        if longer is not None and longer.score.skill > sound.score.skill + WORTH:
            sound, recipe = longer, choices
    _, z = gain(base.score, sound.score)
    found = replace(found, reference=sound.score.skill, reference_z=z, base=base.score.skill)
    yield found
    gap = max(sound.score.skill, found.ceiling - SLACK) - min(found.own.skill, base.score.skill)
    if gap < LEAST_GAP or explained:
        # Nothing that is known to work does better, or there is nothing left to ask; but for rare classes, which the
        # score hardly sees.
        rare = [choice for choice in choices if choice.name == "class-weights" and found.own.balanced < RARE]
        yield replace(found, tried=tuple(_alone(choice, draft, base, told) for choice in rare))
        return
    tried: list[Tried] = []
    for choice in choices:
        if paired and choice.name in HEAD[1:] and not _notable(tried, "head", base, gap):
            continue  # the whole head made sound changes nothing: neither do its parts
        one = _alone(choice, draft, base, told)
        tried.append(replace(one, without=in_time.score.skill) if one.name == "epochs" else one)
        yield replace(found, tried=tuple(tried))
    for place, one in enumerate(tried):
        if _is_asked(one, base, gap):
            tried[place] = _left_out(one, draft, recipe, told)
            yield replace(found, tried=tuple(tried))


def _notable(tried: list[Tried], name: str, base: Base, gap: float) -> bool:
    return any(one.name == name and _is_enough(one, base, gap) for one in tried)


def _is_enough(one: Tried, base: Base, gap: float) -> bool:
    return one.alone is not None and one.alone - max(-1.0, base.score.skill) >= NOTABLE * gap


def _is_asked(one: Tried, base: Base, gap: float) -> bool:
    """Return whether it is worth a run to see whether a choice is needed: it is enough, or looks unsound."""
    return _is_enough(one, base, gap) or one.doubt >= DOUBTFUL or one.name in ("optimizer", "head")


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


def _alone(choice: Aspect, draft: Draft, base: Base, told: Teller) -> Tried:
    """Return what making one choice sound does to the training as it is; the best of its alternatives."""
    one = Tried(choice.name, choice.faults, choice.where, choice.doubt)
    for change in choice.changes:
        made = told.attempt(choice.name, lambda change=change: _run_of(change(draft), told.deadline))
        if made is not None and (one.alone is None or made.score.skill > one.alone):
            _, z = gain(base.score, made.score)
            one = replace(one, alone=made.score.skill, alone_z=z, alone_balanced=made.score.balanced)
    return one


def _left_out(one: Tried, draft: Draft, recipe: tuple[Aspect, ...], told: Teller) -> Tried:
    """Return what leaving one choice as it is does to the sound recipe."""
    in_recipe = {choice.name for choice in recipe if belongs(choice)}
    if one.name not in in_recipe or one.name == "epochs":
        return one
    rest = tuple(choice for choice in recipe if choice.name != one.name)
    made = told.attempt(f"all but {one.name}", lambda: _run_of(recipe_of(draft, rest), told.deadline))
    return one if made is None else replace(one, without=made.score.skill)


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
            changed = choice.changes[0](made)
            made = changed if _runs(changed) else made
    return made


def _runs(draft: Draft) -> bool:
    """Return whether network and loss still take their data after a change; some reach into their own parts."""
    inputs, targets = draw(draft.setup.train, CHECKED)
    network = copy.deepcopy(draft.setup.network).eval()
    try:
        draft.setup.loss(network(inputs), targets)
    except Exception:  # whatever the user's network or loss raises
        return False
    return True


def _run_of(draft: Draft, deadline: float) -> Base:
    score, seconds = run_whole(draft.setup, draft.judge, deadline=deadline)
    return Base(score, seconds)
