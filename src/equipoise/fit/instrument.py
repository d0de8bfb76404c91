"""The vital signs of every layer and parameter in the history of a fit."""

import contextlib
import dataclasses

from equipoise.fit.job import Job
from equipoise.fit.lanes.lane import Lane
from equipoise.fit.state import State
from equipoise.vitals.watch import watch


def instrumented(job: Job, state: State, lane: Lane) -> contextlib.AbstractContextManager[object]:
    """Return a context in which training records vital signs, if the recipe asks for them.

    A lane that measures them by itself is left alone; any other is watched like a loop of one's own.
    """
    every = job.recipe.vitals_every
    if every is None or lane.measures:
        return contextlib.nullcontext()
    parts, before = state.stepper.parts, state.recorder.step  # the watch counts from where it begins
    watching = watch(
        state.network,
        parts[0] if len(parts) == 1 else None,
        every=every,
        on_window=lambda window: state.recorder.history.record_window(
            dataclasses.replace(window, steps=window.steps + before), whole=False
        ),
    )
    state.signs = watching.read
    return watching
