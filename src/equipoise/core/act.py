"""What the governor did to keep a training in balance."""

from typing import Literal

from pydantic import Field

from equipoise.core.record import Number, Record

Correction = Literal["skip-batches", "clip-gradients", "lower-step", "revive-units", "scale-units", "stop"]


class Act(Record):
    """One act of the governor: it rolled back and corrected, or it stopped.

    Attributes:
        step: Optimiser step, counted from 1, after which it acted.
        what: The correction: `skip-batches` goes on with other batches and leaves out those whose gradient is not
            finite; `clip-gradients` bounds the gradient norm by what was usual; `lower-step` divides the learning rate
            and warms it up anew; `revive-units` draws the incoming weights of silent units anew; `scale-units` brings
            the activity of units back to what was usual; `stop` gives up.
        why: One sentence with its numbers: what was seen.
        numbers: What was measured and set: `onset`, `loss`, `usual_loss`, `back_to`, and by correction `limit`,
            `factor`, `units`, `skipped`.
        outcome: `recovered`, `failed` (the next correction followed), `open` (the training ended before it was known)
            or `stopped`.
    """

    step: int
    what: Correction
    why: str
    numbers: dict[str, Number] = Field(default_factory=dict)
    outcome: Literal["recovered", "failed", "open", "stopped"] = "open"
