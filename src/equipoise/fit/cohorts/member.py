"""One network of a cohort: what it is trained by, and on how much of the data."""

import hashlib
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from equipoise.core.plan import Plan
from equipoise.core.record import Record
from equipoise.data.samples import Samples, Splits, TensorSamples
from equipoise.data.streamed import StreamedSamples
from equipoise.fit.seeds import derive


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One network of a cohort.

    Attributes:
        plan: What it is trained by.
        seed: Draws everything random.
        splits: Its data, divided; without them, read as the plan and the seed say.
        subset: Share of the training part that it sees. A smaller share of one seed lies within a larger one.
    """

    plan: Plan
    seed: int
    splits: Splits | None = None
    subset: float = 1.0


def members_of(
    plan: Plan,
    seeds: int | Sequence[int] | None = None,
    *,
    vary: Mapping[str, Sequence[object]] | None = None,
    subset: float | Sequence[float] = 1.0,
    splits: Splits | None = None,
) -> tuple[Member, ...]:
    """Return the members of a cohort: every value of `vary` with every share and every seed, seeds running fastest.

    Args:
        plan: The plan.
        seeds: How many, from the plan's own on; or which; without them, the plan's own.
        vary: By dotted name, the values that a key of the plan takes: `{"recipe.learning_rate": (1e-3, 3e-3)}`.
        subset: Share or shares of the training part, in (0, 1].
        splits: The data, divided already; without them, each seed divides them anew.

    Raises:
        ValueError: No seed, a seed twice, no value, an unknown key, or a share outside (0, 1].
    """
    chosen = _seeds(plan, seeds)
    shares = _shares(subset)
    keys = list(vary or {})
    plans = [_changed(plan, keys, values) for values in itertools.product(*(vary or {}).values())]
    if not plans:
        raise ValueError(f"vary: got no value for one of {', '.join(keys)}; expected at least one each. Give values.")
    return tuple(
        Member(plan=one, seed=seed, splits=splits, subset=share) for one in plans for share in shares for seed in chosen
    )


def part_of(splits: Splits, share: float, seed: int) -> Splits:
    """Return a data set with only a share of its training part, at least one sample, in its order.

    What is drawn depends on the seed alone and is nested: a smaller share is part of every larger one. Numbers that
    pre-processing needs stay those of the whole training part.

    Args:
        splits: The data.
        share: In (0, 1].
        seed: Seed of the fit.
    """
    if share == 1.0:
        return splits
    n = len(splits.train)
    generator = torch.Generator().manual_seed(derive(seed, "subset"))
    chosen = torch.randperm(n, generator=generator)[: max(1, math.ceil(share * n))].sort().values
    positions = chosen.numpy()
    return replace(
        splits,
        train=_selected(splits.train, chosen),
        rows={**splits.rows, "train": splits.rows["train"][positions]},
        groups={name: one[positions] if name == "train" else one for name, one in splits.groups.items()},
        digest=hashlib.sha256(f"{splits.digest}/{share}/{seed}".encode()).hexdigest(),
    )


def _selected(samples: Samples, positions: torch.Tensor) -> Samples:
    if isinstance(samples, StreamedSamples):
        return samples.select(np.asarray(positions))
    return TensorSamples(*samples.batch(positions))


def _seeds(plan: Plan, seeds: int | Sequence[int] | None) -> tuple[int, ...]:
    count = seeds if isinstance(seeds, int) else 1 if seeds is None else None
    chosen = tuple(range(plan.seed, plan.seed + count)) if count is not None else _several(seeds)
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise ValueError(
            f"seeds: got {seeds!r}; expected a number from 1, or different seeds from 0. Give seeds=8 or seeds=(0, 3)."
        )
    return chosen


def _shares(subset: float | Sequence[float]) -> tuple[float, ...]:
    shares = (float(subset),) if isinstance(subset, (int, float)) else tuple(subset)
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(
            f"subset: got {subset!r}; expected shares of the training part above 0 and at most 1. Give subset=0.5."
        )
    return shares


def _several(seeds: Any) -> tuple[int, ...]:
    return tuple(int(one) for one in seeds) if isinstance(seeds, Iterable) else ()


def _changed(plan: Plan, keys: Sequence[str], values: Iterable[object]) -> Plan:
    for key, value in zip(keys, values, strict=True):
        section: object = plan
        for name in key.split("."):
            if not isinstance(section, Record) or name not in type(section).model_fields:
                raise ValueError(
                    f"vary: got the key {key!r}; expected one of a plan, such as 'recipe.learning_rate'. Look it up in "
                    "the reference of plans."
                )
            section = getattr(section, name)
        plan = plan.replace(**{key.replace(".", "__"): value})
    return plan
