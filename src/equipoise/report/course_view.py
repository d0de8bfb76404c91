"""A course of treatment as the page and the terminal need it."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from equipoise.core.course import Course, Prescription
from equipoise.core.plan import Plan, plan_text
from equipoise.core.trial import Trial
from equipoise.report.forest import Forest, forests
from equipoise.report.numbers import name_text, number, plural, shown
from equipoise.report.printable import one_line
from equipoise.report.terminal import wrapped

OUTCOMES = ("adopted", "harmful", "no difference", "unsure")
ANSI = {"adopted": "32", "harmful": "1;31", "no difference": "2", "unsure": "36"}


@dataclass(frozen=True, slots=True)
class TriedView:
    """One trial of a course, as text."""

    trial: Trial
    why: str
    control: bool
    effect: str
    at_equal_steps: str
    p_value: str
    level: str
    guards: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CourseView:
    """A course, ready for the page; `diff` holds lines of the plan, each with `+`, `-` or nothing before it."""

    course: Course
    sentence: str
    comparison: str
    forests: tuple[Forest, ...]
    tried: tuple[TriedView, ...]
    diff: tuple[tuple[str, str], ...]


def course_view(course: Course | None) -> CourseView | None:
    """Return a course as the page shows it, or None where there was none."""
    if course is None:
        return None
    pairs = zip(course.trials, course.prescriptions, strict=False)
    return CourseView(
        course=course,
        sentence=course_sentence(course),
        comparison=comparison_sentence(course),
        forests=forests(course.trials),
        tried=tuple(_tried(trial, prescription) for trial, prescription in pairs),
        diff=plan_diff(course.before, course.after),
    )


def course_sentence(course: Course) -> str:
    """Return what came of a course, in one sentence."""
    tried = plural(len(course.trials), "treatment")
    cut = "" if course.finished else " It was cut off, and can be gone on with."
    if not course.trials:
        return f"No treatment was tried.{cut}"
    if not course.adopted:
        return f"Nothing helped: of {tried}, none passed its trial ({_outcomes(course)}).{cut}"
    names, were = ", ".join(course.adopted), "was" if len(course.adopted) == 1 else "were"
    return f"{len(course.adopted)} of {tried} passed and {were} adopted: {names} ({_outcomes(course)}).{cut}"


def comparison_sentence(course: Course) -> str:
    """Return what the adopted plan is worth on fresh seeds; empty where that was not compared."""
    found = course.comparison
    if found is None:
        return ""
    before, after = (sum(scores) / len(scores) for scores in (found.before, found.after))
    beside = "".join(f" {name[:1].upper()}{name[1:]}: difference {shown(one)}." for name, one in found.aims.items())
    return (
        f"{found.metric[:1].upper()}{found.metric[1:]} on {plural(len(found.seeds), 'fresh seed')}: {number(before)} "
        f"before, {number(after)} after, difference {shown(found.difference)}.{beside}"
    )


def plan_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the lines of the plan after, and those of the plan before that are gone; empty if nothing changed."""
    one, two = _lines(before), _lines(after)
    if one == two:
        return ()
    return tuple((line[0].strip(), line[2:]) for line in difflib.ndiff(one, two) if not line.startswith("?"))


def course_lines(course: Course, *, width: int = 100, colour: bool = False) -> str:
    """Return a course as lines of a terminal: what came of it, each trial, the change of the plan, and what is left.

    Args:
        course: The course.
        width: Columns of the terminal.
        colour: Whether outcomes are coloured with ANSI sequences.
    """
    lines = wrapped(course_sentence(course), width)
    longest = max((len(one.treatment) for one in course.trials), default=0)
    for one in course.trials:
        outcome = f"{one.outcome:<13}"
        painted = f"\x1b[{ANSI[one.outcome]}m{outcome}\x1b[0m" if colour else outcome
        p = f"p = {number(one.p_value)} against {number(one.level)}"
        lines.append(
            f"  {painted}  {one_line(one.treatment):<{longest}}  {shown(one.effect)}  {p}, {len(one.seeds)} seeds"
        )
    lines += wrapped(comparison_sentence(course), width)
    lines += [f"  {sign} {line}" for sign, line in plan_diff(course.before, course.after) if sign]
    if course.left_out:
        lines += wrapped(f"Not tried: {', '.join(one_line(one.treatment) for one in course.left_out)}.", width)
    return "\n".join(lines)


def _tried(trial: Trial, prescription: Prescription) -> TriedView:
    return TriedView(
        trial=trial,
        why=prescription.why,
        control=prescription.control,
        effect=str(shown(trial.effect)),
        at_equal_steps="" if trial.at_equal_steps is None else str(shown(trial.at_equal_steps)),
        p_value=number(trial.p_value),
        level=number(trial.level),
        guards=tuple((name_text(name), str(shown(one))) for name, one in trial.guards.items()),
    )


def _outcomes(course: Course) -> str:
    counts = [(one, sum(trial.outcome == one for trial in course.trials)) for one in OUTCOMES]
    return ", ".join(f"{count} {outcome}" for outcome, count in counts if count)


def _lines(plan: Mapping[str, Any]) -> list[str]:
    try:
        return plan_text(Plan.read(plan)).splitlines()
    except ValueError:  # a plan of another version: its plain values still show what changed
        return [f"{key} = {value}" for key, value in plan.items()]
