"""Validation rows that are also training rows."""

import math

import numpy as np

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.vitals.detectors.detector import ALPHA
from equipoise.vitals.detectors.sequential import share


def shared_rows(train: np.ndarray, validation: np.ndarray, *, alpha: float = ALPHA) -> Symptom:
    """Return whether more validation rows occur in the training data than chance explains.

    Rows of few discrete columns coincide by chance. A fresh draw from the training distribution repeats a training row
    with a probability of about one minus the share of training rows that occur once (Good, Biometrika 1953), at most
    that plus sqrt(2 log(3 / alpha) / n) more (McAllester and Schapire, COLT 2000). Hypothesis: validation rows coincide
    no more often than that. Test: exact binomial, error rate `alpha` per call. Over a hundredth of the rows beyond
    chance is a warning, over a tenth a failure, by the whole interval.
    Rows that were repeated before the parts were split look like chance here: their cause lies in the data.

    Args:
        train: Rows (n, ...), inputs or inputs with their targets, compared value by value.
        validation: Rows (m, ...) of the same shape.
        alpha: Error rate of this call.

    Raises:
        ValueError: Parts without rows, or rows of different shapes.
    """
    train, validation = np.asarray(train), np.asarray(validation)
    if not len(train) or not len(validation) or train.shape[1:] != validation.shape[1:]:
        raise ValueError(
            f"got shapes {train.shape} and {validation.shape}; expected rows of one shape in both parts. Pass the "
            "inputs as the network gets them."
        )
    kind = np.result_type(train, validation)
    rows, counts = np.unique(_as_bytes(train.astype(kind)), return_counts=True)
    found = int(np.isin(_as_bytes(validation.astype(kind)), rows).sum())
    # Counted without rows that a leak itself may have put there: singles among training rows say how rare rows are.
    chance = 1 - int((counts == 1).sum()) / len(train)
    bound = chance + math.sqrt(2 * math.log(3 / alpha) / len(train)) if chance > 0 else 0.0
    overlap = share(found, len(validation), 1 - 2 * alpha)
    excess = overlap.low - min(1.0, bound)
    verdict = Verdict.FAIL if excess > 0.1 else Verdict.WARN if excess > 0.01 else Verdict.PASS
    alarm = verdict is not Verdict.PASS
    return Symptom(
        name="shared-rows",
        verdict=verdict,
        claim=f"{found:,} of {len(validation):,} validation rows are also training rows; chance explains at most "
        f"{min(1.0, bound):.1%}.",
        estimates={"shared_share": overlap, "by_chance": exact(chance, n=len(train))},
        where=("validation",) if alarm else (),
        suggests={"data_leak": 6.0 if verdict is Verdict.FAIL else 3.0} if alarm else {},
    )


def _as_bytes(rows: np.ndarray) -> np.ndarray:
    """Return one value of raw bytes a row (n,); zeros lose their sign so that equal values have equal bytes."""
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1))
    if flat.dtype.kind == "f":
        flat = flat + 0.0
    if flat.dtype.kind == "O":
        flat = np.array([[str(value) for value in row] for row in flat])
    return np.ascontiguousarray(flat).view(np.dtype((np.void, flat.dtype.itemsize * flat.shape[1]))).ravel()
