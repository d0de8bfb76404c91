"""Divides samples into train, validation and test."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from equipoise.core.data_plan import Split

PARTS = ("train", "validation", "test")
FEWEST = 8
"""Fewer samples than this cannot be divided into three parts that mean anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """How the rows of a source are to be divided, carried along while rows are dropped.

    Attributes:
        split: Method and shares.
        seed: Used when the split has no seed of its own.
        groups: The group of each row, or None.
        times: The time of each row (dates or numbers), or None.
        parts: The part that each row was handed over in, or None; an empty string where it is still open.
    """

    split: Split
    seed: int
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    parts: np.ndarray | None = None

    def keep(self, rows: np.ndarray) -> "Division":
        """Return the division of the rows at these positions (or where this mask is true)."""
        return replace(
            self,
            groups=None if self.groups is None else self.groups[rows],
            times=None if self.times is None else self.times[rows],
            parts=None if self.parts is None else self.parts[rows],
        )

    def positions(self, n: int, labels: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return the positions of each part among `n` rows; see `divide`. Parts handed over are kept as they are."""
        if self.parts is None:
            return divide(n, self.split, self.seed, labels=labels, groups=self.groups, times=self.times)
        return _complete(self, self.parts, labels)

    def groups_by_part(self, positions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the groups of each part, or an empty dictionary without groups."""
        if self.groups is None:
            return {}
        return {part: self.groups[rows] for part, rows in positions.items()}


def divide(
    n: int,
    split: Split,
    seed: int,
    *,
    labels: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    times: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the positions of train, validation and test; together every sample once, each in increasing order.

    Args:
        n: Number of samples, at least 8.
        split: Method and shares; its own seed, when it has one, goes first.
        seed: Seed of the division.
        labels: Class of each sample, shape (n,); `stratified` divides each class by the shares (to within one sample,
            at least one a part). Without labels `stratified` is `random`.
        groups: Group of each sample, shape (n,); needed by `group`. Groups are dealt in random order, each to the part
            that lacks most samples, so shares hold to within the largest group.
        times: Dates or numbers, shape (n,); needed by `time`. The latest samples are the test part, those before them
            the validation part. Samples of equal time stay together, so shares hold to within the largest such block.

    Raises:
        ValueError: Too few samples, classes, groups or times for three parts, or shares that leave nothing to train on.
    """
    if split.validation + split.test >= 1:
        raise ValueError(
            f"got a validation share of {split.validation:g} and a test share of {split.test:g}; expected a sum below "
            "1, so that something is left to train on. Lower one of them."
        )
    if n < FEWEST:
        raise ValueError(
            f"got {n} samples; expected at least {FEWEST}, to divide into train, validation and test. Add samples."
        )
    generator = np.random.default_rng(seed if split.seed is None else split.seed)
    if split.method == "group":
        parts = _by_group(_needed(groups, n, "group"), split, generator)
    elif split.method == "time":
        parts = _by_time(_needed(times, n, "time"), split)
    elif split.method == "stratified" and labels is not None:
        parts = _by_class(_needed(labels, n, "stratified"), split, generator)
    else:
        parts = _cut(generator.permutation(n), split)
    for name, positions in parts.items():
        if len(positions) == 0:
            raise ValueError(
                f"got an empty {name} part from {n} samples; expected at least one sample in each part. "
                f"Raise the {name} share or add samples."
            )
    return {name: np.sort(parts[name]).astype(np.int64) for name in PARTS}


def _needed(values: np.ndarray | None, n: int, method: str) -> np.ndarray:
    if values is None:
        raise ValueError(
            f"got split method {method!r} without a {method} for each sample; expected one. "
            "Name the column (or array) in split.column, or choose the method 'stratified' or 'random'."
        )
    if len(values) != n:
        raise ValueError(
            f"got {len(values)} entries to split by {method} for {n} samples; expected one a sample. Mend the lengths."
        )
    return values


def _cut(order: np.ndarray, split: Split) -> dict[str, np.ndarray]:
    """Cut an order into test, validation and train by the shares, at least one each."""
    num_test = max(1, round(len(order) * split.test))
    num_validation = max(1, round(len(order) * split.validation))
    test, validation, train = np.split(order, [num_test, num_test + num_validation])
    return {"train": train, "validation": validation, "test": test}


def _by_class(labels: np.ndarray, split: Split, generator: np.random.Generator) -> dict[str, np.ndarray]:
    values, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < len(PARTS):
        small = [f"{values[i]!s} ({counts[i]})" for i in np.flatnonzero(counts < len(PARTS))]
        raise ValueError(
            f"got {len(small)} classes with fewer than 3 samples: {', '.join(small[:5])}; expected at least 3 in each, "
            "one a part. Add samples, merge or remove these classes, or set split.method = 'random'."
        )
    test = _quotas(counts, split.test)
    validation = _quotas(counts, split.validation)
    chosen: dict[str, list[np.ndarray]] = {name: [] for name in PARTS}
    for i in range(len(values)):
        members = generator.permutation(np.flatnonzero(index == i))
        num_validation = min(validation[i], counts[i] - test[i] - 1)
        cuts = [test[i], test[i] + num_validation]
        for name, rows in zip(("test", "validation", "train"), np.split(members, cuts), strict=True):
            chosen[name].append(rows)
    return {name: np.concatenate(rows) for name, rows in chosen.items()}


def _quotas(counts: np.ndarray, share: float) -> np.ndarray:
    """Return how many of each class go into a part: largest remainders, so that the total keeps the share too."""
    ideal = counts * share
    quotas = np.floor(ideal).astype(np.int64)
    left = round(counts.sum() * share) - quotas.sum()
    quotas[np.argsort(quotas - ideal, kind="stable")[:left]] += 1
    return np.clip(quotas, 1, counts - 2)


def _by_group(groups: np.ndarray, split: Split, generator: np.random.Generator) -> dict[str, np.ndarray]:
    codes, names = pd.factorize(groups)
    if (codes < 0).any():
        raise ValueError(
            f"got {int((codes < 0).sum())} samples without a group; expected a group for each. "
            "Fill in the group column or remove these rows."
        )
    if len(names) < len(PARTS):
        raise ValueError(
            f"got {len(names)} groups; expected at least 3, one a part. Choose another group column or another method."
        )
    sizes = np.bincount(codes)
    lacking = len(codes) * np.array([1 - split.validation - split.test, split.validation, split.test])
    dealt = np.zeros(len(PARTS), dtype=np.int64)
    part_of = np.empty(len(names), dtype=np.int64)
    for turn, group in enumerate(generator.permutation(len(names))):
        empty = np.flatnonzero(dealt == 0)
        only_just = len(names) - turn <= len(empty)
        candidates = empty if only_just else np.arange(len(PARTS))
        part = candidates[np.argmax(lacking[candidates])]
        part_of[group] = part
        dealt[part] += 1
        lacking[part] -= sizes[group]
    return {name: np.flatnonzero(part_of[codes] == i) for i, name in enumerate(PARTS)}


def _by_time(times: np.ndarray, split: Split) -> dict[str, np.ndarray]:
    missing = int(pd.isna(times).sum())
    if missing:
        raise ValueError(
            f"got {missing} samples without a time; expected a time for each. Fill in the time column or remove them."
        )
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if len(changes) < 2:
        raise ValueError(
            f"got {len(changes) + 1} distinct times; expected at least 3, so that each part is later than the one "
            "before it. Choose another time column or another method."
        )
    n = len(order)
    start_test = changes[1:][np.argmin(np.abs(changes[1:] - n * (1 - split.test)))]
    earlier = changes[changes < start_test]
    start_validation = earlier[np.argmin(np.abs(earlier - n * (1 - split.test - split.validation)))]
    train, validation, test = np.split(order, [start_validation, start_test])
    return {"train": train, "validation": validation, "test": test}


def _complete(division: Division, given: np.ndarray, labels: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return the parts as handed over; a missing validation or test part is taken from the training part."""
    positions = {name: np.flatnonzero(given == name).astype(np.int64) for name in PARTS}
    absent = [name for name in PARTS[1:] if len(positions[name]) == 0]
    if len(positions["train"]) == 0:
        raise ValueError("got an empty train part; expected samples to train on. Hand over a part called 'train'.")
    if not absent:
        return positions
    source = positions["train"]
    inner = divide(
        len(source),
        division.split,
        division.seed,
        labels=None if labels is None else labels[source],
        groups=None if division.groups is None else division.groups[source],
        times=None if division.times is None else division.times[source],
    )
    kept = [inner["train"]] + [inner[name] for name in PARTS[1:] if name not in absent]
    return {
        **positions,
        "train": np.sort(source[np.concatenate(kept)]),
        **{name: source[inner[name]] for name in absent},
    }
