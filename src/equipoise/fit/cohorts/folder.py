"""The folder of a cohort: `cohort.json` says who is in it, and each member has a folder of its own."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from equipoise.core.record import Record
from equipoise.fit.cohorts.member import Member


class Roll(Record):
    """Who is in a cohort; `cohort.json`.

    Attributes:
        members: Of each member: its seed, its share of the training part, and the SHA-256 of its plan.
    """

    members: tuple[tuple[int, float, str], ...]


def member_folders(folder: Path | None, members: Sequence[Member], *, resume: bool) -> list[Path | None]:
    """Return a folder for each member, where there is one for the cohort, and write down who is in it.

    Args:
        folder: Of the cohort, or None.
        members: Who is in it.
        resume: Whether to go on with the cohort that is there; where there is none, it begins.

    Raises:
        ValueError: There is a cohort and `resume` is false, or it is another one; there is no folder to resume in.
        OSError: The folder cannot be written.
    """
    if folder is None:
        if resume:
            raise ValueError("resume: got no folder; expected the one in which the cohort began. Pass it as `folder`.")
        return [None] * len(members)
    roll = Roll(members=tuple((one.seed, one.subset, _digest(one)) for one in members))
    path = folder / "cohort.json"
    if path.is_file():
        if not resume:
            raise ValueError(
                f"folder: got {folder}, which holds a cohort; expected a new folder. Choose another one, or go on with "
                "that cohort: resume=True."
            )
        if Roll.load(path) != roll:
            raise ValueError(
                f"folder: got {folder}, which holds a cohort of other members; expected the same plans, seeds and "
                "shares, in the same order. Resume with those, or begin anew in another folder."
            )
    folder.mkdir(parents=True, exist_ok=True)
    roll.save(path)
    return [folder / f"{position:03d}" for position in range(len(members))]


def _digest(member: Member) -> str:
    plan = member.plan.model_dump_json(exclude={"recipe": {"max_seconds"}})
    return hashlib.sha256(plan.encode()).hexdigest()
