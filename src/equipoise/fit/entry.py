"""`equipoise.fit`: one network, or a cohort of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from equipoise.core.plan import Plan
from equipoise.core.progress import Listener, silent
from equipoise.data.samples import Splits
from equipoise.fit.cohort import Cohort, InterruptedCohort, fit_members
from equipoise.fit.cohorts.lane import Lane
from equipoise.fit.cohorts.member import members_of
from equipoise.fit.fit import fit as fit_one
from equipoise.fit.fitted import Fit


@overload
def fit(
    plan: Plan,
    seed: int | None = None,
    *,
    data: Any = None,
    splits: Splits | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    train: bool = True,
    trust: bool = False,
    on_progress: Listener = silent,
) -> Fit:
    """Return the network that a plan describes, trained; see `fit.fit.fit`."""


@overload
def fit(
    plan: Plan,
    *,
    seeds: int | Sequence[int],
    vary: Mapping[str, Sequence[object]] | None = None,
    subset: float | Sequence[float] = 1.0,
    data: Any = None,
    splits: Splits | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    trust: bool = False,
    lane: Lane = "auto",
    workers: int | None = None,
    on_progress: Listener = silent,
) -> Cohort:
    """Return a cohort of networks; see `fit.cohort.fit_members`.

    Every value of `vary` is trained with every share and every seed, seeds running fastest. A cohort that is
    interrupted (Ctrl-C) comes back with the members that are trained; its `missing` says which are not.

    Args:
        plan: Data, network, recipe and the steps after it.
        seeds: How many, from the plan's on, or which. A seed draws initialisation, order and, without `splits`, the
            division of the data.
        vary: By dotted name, the values of a key of the plan: `{"recipe.learning_rate": (1e-3, 3e-3)}`.
        subset: Share of the training part, or several shares; those of one seed are nested.
        data: For a plan that was made from data in Python: the same data again.
        splits: The data, divided already.
        folder: Where the checkpoints of all members are written; None writes nothing.
        resume: Go on with the cohort in `folder`; what is trained there is not trained again.
        trust: Whether a foreign network's file may be unpickled.
        lane: `sequential`, `threads` or `processes`, instead of what pays.
        workers: Trainings at once, at most; without it, one a core that torch may use.
        on_progress: Hears how far it is.

    Raises:
        ValueError: A member cannot be trained, or `vary`, `subset` or `seeds` make no sense.
    """


def fit(
    plan: Plan,
    seed: int | None = None,
    *,
    seeds: int | Sequence[int] | None = None,
    vary: Mapping[str, Sequence[object]] | None = None,
    subset: float | Sequence[float] = 1.0,
    data: Any = None,
    splits: Splits | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    train: bool = True,
    trust: bool = False,
    lane: Lane = "auto",
    workers: int | None = None,
    on_progress: Listener = silent,
) -> Fit | Cohort:
    """Return the network that a plan describes, trained; with `seeds`, a cohort of them."""
    where = None if folder is None else Path(folder)
    if seeds is None:
        given = {
            "vary": vary is not None,
            "subset": subset != 1.0,
            "lane": lane != "auto",
            "workers": workers is not None,
        }
        for name in (name for name, there in given.items() if there):
            raise ValueError(
                f"got {name} without seeds; expected it with a cohort. Add seeds=1, or as many as you like."
            )
        return fit_one(
            plan,
            seed,
            data=data,
            splits=splits,
            folder=where,
            resume=resume,
            train=train,
            trust=trust,
            on_progress=on_progress,
        )
    if seed is not None or not train:
        raise ValueError(
            f"got seeds={seeds!r} with {'a seed' if seed is not None else 'train=False'}; expected one or the other. "
            "Leave one of them out."
        )
    members = members_of(plan, seeds, vary=vary, subset=subset, splits=splits)
    try:
        return fit_members(
            members,
            data=data,
            trust=trust,
            folder=where,
            resume=resume,
            lane=lane,
            workers=workers,
            on_progress=on_progress,
        )
    except InterruptedCohort as interrupted:
        return interrupted.cohort
