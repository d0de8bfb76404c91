"""The course of treatment as it stands, in memory and in its file, so that it can be gone on with."""

import shutil
import time
from pathlib import Path

from equipoise.core.course import Course
from equipoise.core.plan import Plan

FILE, TRAININGS = "course.json", "trainings"
UNFINISHED = "../checkpoint"
"""The last training of a course that was cut off there, seen from its trainings: of a plan that was adopted before."""


class Ledger:
    """Keeps a course; every note is written at once, atomically.

    Args:
        course: The course so far.
        folder: Where its file lies; None keeps it in memory only.
    """

    def __init__(self, course: Course, folder: Path | None) -> None:
        self._folder = folder
        self._before = course.seconds
        self._began = time.monotonic()
        self.course = course

    @property
    def trainings(self) -> Path | None:
        """Where trainings are kept until they have served; None where nothing is."""
        return None if self._folder is None else self._folder / TRAININGS

    def forget(self, *names: str) -> None:
        """Remove trainings that have served, by the names of their folders; `.` for all."""
        if self.trainings is not None:
            for name in names:
                shutil.rmtree(self.trainings / name, ignore_errors=True)

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left."""
        return self.course.budget_s - (time.monotonic() - self._began)

    @property
    def plan(self) -> Plan:
        """The plan with everything that was adopted so far."""
        return Plan.read(self.course.after, origin="course")

    def note(self, **changes: object) -> None:
        """Change the course, and write it."""
        seconds = round(self._before + time.monotonic() - self._began, 3)
        self.course = self.course.model_copy(update={**changes, "seconds": seconds})
        if self._folder is not None:
            self.course.save(self._folder / FILE)


def open_ledger(plan: Plan, budget_s: float, folder: Path | None, *, resume: bool) -> Ledger:
    """Return the ledger of a new course, or of the one in a folder.

    Args:
        plan: What is treated.
        budget_s: Seconds from now on.
        folder: Where its file lies, or shall lie; None keeps none.
        resume: Whether to go on with the course in the folder, if there is one.

    Raises:
        ValueError: The folder holds a course and `resume` is false, or the course of another plan; the budget is not
            above zero; `resume` without a folder.
    """
    if not budget_s > 0:
        raise ValueError(f"got a budget of {budget_s} s; expected more than 0. Give it some minutes, such as 600.")
    file = None if folder is None else folder / FILE
    if file is None or not file.is_file():
        if resume and file is None:
            raise ValueError("resume: got no folder; expected the one of the course. Pass it as `folder`.")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        return Ledger(Course(before=plan.plain(), after=plan.plain(), budget_s=budget_s), folder)
    if not resume:
        raise ValueError(
            f"folder: got {folder}, which holds a course of treatment; expected a new folder. Choose another one, or "
            "go on with that course: resume=True."
        )
    course = Course.load(file)
    if course.before != plan.plain():
        raise ValueError(
            f"folder: got {folder}, which holds the course of another plan ({course.before.get('name')!r}); expected "
            "that of this one. Choose another folder."
        )
    return Ledger(course.replace(budget_s=budget_s, finished=False), folder)
