"""Finds in the numbers of a window what happened at one step: what stopped being finite first, and steps in vain."""

from collections.abc import Iterator

import numpy as np

from equipoise.vitals.rows import Ring, Slot
from equipoise.vitals.window import Event, Window


def odd_rows(window: Window, ring: Ring, slots: list[Slot], made_by: str) -> Iterator[Event]:
    """Yield an event for each step of a window at which something was not finite, or that moved nothing.

    Args:
        window: The window.
        ring: Its rows.
        slots: Its layers.
        made_by: The operation that first made a loss that is not finite, where that is known.
    """
    layers = window.activation["non_finite"] > 0
    gradients = window.gradient["non_finite"] > 0
    weights = ~np.isfinite(window.weight["norm"]) & (window.gradient["non_finite"] >= 0)
    losses = np.array(ring.known, bool) & ~np.isfinite(window.loss)
    for at in map(int, np.flatnonzero(layers.any(1) | gradients.any(1) | weights.any(1) | losses)):
        where, text = _first(window, slots, made_by, layers[at], bool(losses[at]), gradients[at], weights[at])
        yield Event(int(window.steps[at]), "non_finite", where, text)
    for at in map(int, np.flatnonzero(gradients.any(1))):
        if not np.nan_to_num(window.weight["update_ratio"][at]).any():
            text = "gradients were not finite and no weight moved"
            yield Event(int(window.steps[at]), "skipped_step", "loop.step", text)
    for at in map(int, np.flatnonzero(np.array(ring.backwards) == 0)):
        if _same_again(window, at):
            text = "the optimiser used the gradient of the step before once more"
            yield Event(int(window.steps[at]), "no_backward", "loop.backward", text)


def _first(
    window: Window,
    slots: list[Slot],
    made_by: str,
    layers: np.ndarray,
    loss: bool,
    gradients: np.ndarray,
    weights: np.ndarray,
) -> tuple[str, str]:
    """Return place and sentence of the first thing that was not finite at one step, in the order of the computation."""
    origin = f"; the first operation that made any is {made_by}" if made_by and loss else ""
    if layers.any():
        slot = slots[int(layers.argmax())]
        if not origin and slot.operation:
            origin = f"; they were made by {slot.operation}"
        return slot.name, f"the output of {slot.name} ({slot.kind}) holds values that are not finite{origin}"
    if loss:
        return "loss", f"the loss is not finite, and every layer that was measured is{origin}"
    if gradients.any():
        last = window.weights[int(np.flatnonzero(gradients)[-1])]  # backward passes begin at the end
        return last.name, f"the gradient of {last.name} holds values that are not finite, and the loss is finite"
    first = window.weights[int(weights.argmax())]
    return first.name, f"{first.name} holds values that are not finite after the step"


def _same_again(window: Window, at: int) -> bool:
    cosine = window.gradient["cosine"][at]
    if at == 0 or np.isnan(cosine).all():
        return False
    same = window.gradient["norm"][at] == window.gradient["norm"][at - 1]
    return bool((same | np.isnan(cosine)).all() and np.nanmin(cosine) > 1 - 1e-6)
