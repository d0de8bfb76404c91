"""`validation-overlap`: are rows of the validation data rows of the training data?"""

import hashlib

import torch
from torch import Tensor

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.setup import Setup
from equipoise.stats.intervals import difference_of_proportions, proportion

NAME = "validation-overlap"
_MOST = 50000


@probe(NAME)
def validation_overlap(setup: Setup) -> Symptom:
    """Count validation rows that are also training rows, beyond what repeats in the data explain.

    A row drawn like the training rows is found among them as often as a training row is found among the others, so that
    share is what the overlap is compared with (Newcombe's interval of the difference).
    """
    if setup.validation is None:
        raise InapplicableError("there are no validation data")
    train, held = (_marks(part)[:_MOST] for part in (setup.train[0], setup.validation[0]))
    if not held or not train:
        raise InapplicableError("there are no rows to compare")
    if setup.train[0].shape[1:] != setup.validation[0].shape[1:]:
        raise InapplicableError("training and validation rows have different shapes")
    counts: dict[bytes, int] = {}
    for mark in train:
        counts[mark] = counts.get(mark, 0) + 1
    repeats = sum(counts[mark] > 1 for mark in train)
    shared = sum(mark in counts for mark in held)
    if shared == len(held) and set(train) <= set(held):
        raise InapplicableError("the data were not divided: training and validation rows are the same")
    overlap = proportion(shared, len(held))
    beyond = difference_of_proportions(shared, len(held), repeats, len(train))
    estimates = {
        "overlap": overlap,
        "overlap beyond repeats": beyond,
        "repeats in training": proportion(repeats, len(train)),
    }
    claim = (
        f"{shared} of {len(held)} validation rows are training rows; {repeats} of {len(train)} training "
        "rows are repeats."
    )
    if beyond.low <= 0.01:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    serious = beyond.low > 0.05
    return Symptom(
        name=NAME,
        verdict=Verdict.FAIL if serious else Verdict.WARN,
        claim=f"{claim} Split once, before anything else, and hold the parts apart.",
        where=("validation",),
        suggests={"data_leak": 7.0 if serious else 3.0},
        estimates=estimates,
    )


def _marks(values: Tensor) -> list[bytes]:
    flat = values.detach().cpu().reshape(len(values), -1)[:_MOST]
    plain = flat.to(torch.float32) if flat.dtype == torch.bfloat16 else flat
    return [hashlib.blake2b(row.tobytes(), digest_size=12).digest() for row in plain.contiguous().numpy()]
