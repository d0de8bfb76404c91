"""Rows that repeat: found by their bits, removed from the training part only."""

import hashlib

import numpy as np
import torch

from equipoise.data.samples import Samples, Splits
from equipoise.data.select import train_on


def fingerprints(inputs: np.ndarray) -> list[bytes]:
    """Return one digest a row of (n, ...); equal for rows of equal bits, where any NaN equals any other."""
    flat = np.ascontiguousarray(inputs.reshape(len(inputs), -1))
    if np.issubdtype(flat.dtype, np.floating):
        # Adding 0 turns -0.0 into 0.0.
        flat = np.where(np.isnan(flat), np.array(np.nan, dtype=flat.dtype), flat) + flat.dtype.type(0)
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in flat]


def without_duplicates(splits: Splits) -> Splits:
    """Return the data set without training rows whose inputs repeat an earlier one or are in another part.

    What is left of several equal rows is the first. Validation and test stay as they are, so that results before and
    after can be compared.

    Raises:
        ValueError: Fewer than two training rows would be left.
    """
    held_out = {one for part in ("validation", "test") for one in _digests(splits.part(part))}
    seen: set[bytes] = set()
    kept: list[int] = []
    leaked = 0
    digests = _digests(splits.train)
    for position, digest in enumerate(digests):
        if digest in held_out:
            leaked += 1
        elif digest not in seen:
            seen.add(digest)
            kept.append(position)
    if len(kept) < 2:
        raise ValueError(
            f"data.training.remove_duplicates: got {len(digests)} training rows of which {leaked} are in another part "
            f"and {len(digests) - leaked - len(kept)} repeat; expected at least 2 others. Leave it out, or bring data "
            "that differ."
        )
    repeated = len(digests) - leaked - len(kept)
    note = f"{leaked:,} training rows that are in another part and {repeated:,} that repeat were removed"
    return train_on(splits, torch.tensor(kept), note)


def _digests(samples: Samples) -> list[bytes]:
    chunks = torch.arange(len(samples)).split(512)
    return [one for chunk in chunks for one in fingerprints(samples.batch(chunk)[0].cpu().numpy())]
