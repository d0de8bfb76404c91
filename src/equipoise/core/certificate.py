"""The record of a proof about a network."""

from equipoise.core.record import Record


class Certificate(Record):
    """What was proved, refuted or left open about a property.

    Attributes:
        property: The property in one sentence.
        radius: Size of the region, in raw input units.
        norm: Norm of the region: `linf`, `l2`, `l1`.
        method: How it was proved.
        sound: Whether a `proved` is a proof (True) or holds with stated confidence (False).
        proved: Number of samples proved.
        refuted: Number of samples with a counterexample.
        open: Number of samples undecided.
        proof_file: Path of the proof record inside the run folder, or empty.
    """

    property: str
    radius: float
    norm: str
    method: str
    sound: bool
    proved: int
    refuted: int
    open: int
    proof_file: str = ""
