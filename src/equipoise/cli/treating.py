"""The verb `treat`, and what `run --treat` does after the run."""

import shlex
import shutil
import sys
from pathlib import Path

from equipoise.cli.screen import Screen
from equipoise.core.progress import Listener, silent
from equipoise.report.course_view import course_lines
from equipoise.report.diagnosis_lines import diagnosis_summary
from equipoise.run.own_training import INTERRUPTED
from equipoise.run.treating import TREATED, TreatedRun, treat_run
from equipoise.run.treating_program import TreatedProgram, treat_program

CUT_OFF = 130
"""Exit code after Ctrl-C, as shells count it: 128 and the number of the signal."""


def carry_out(directory: Path, *, budget_s: float, fix: str | None, seeds: int | None, trust: bool, quiet: bool) -> int:
    """Treat the plan of a run, print what came of it, and return the exit code: 0, or 130 when interrupted."""
    listener: Listener = silent if quiet else Screen()
    done = treat_run(directory, budget_s=budget_s, fix=fix, seeds=seeds, trust=trust, on_progress=listener)
    print(directory / TREATED / "plan.toml" if quiet else summary(done))
    return 0 if done.treated.course.finished else CUT_OFF


def carry_out_program(what: str, *, out: Path | None, trust: bool, quiet: bool) -> int:
    """Treat a program, print what came of it, and return the exit code: 0, or 130 when interrupted."""
    done = treat_program(what, out=out, trust=trust, on_progress=silent if quiet else Screen())
    print(done.folder.path if quiet else program_summary(done))
    return CUT_OFF if done.treated.reason == INTERRUPTED else 0


def program_summary(done: TreatedProgram) -> str:
    """Return what was found in a program, what was tried and what it came to."""
    treated, folder = done.treated, shlex.quote(str(done.folder.path))
    lines = ["", diagnosis_summary(treated.diagnosis, interrupted=False, colour=sys.stdout.isatty()), ""]
    lines += [
        f"  {one.score:8.3f}  {one.what} (costs {one.cost:.2g} of the training as it is)" for one in treated.tried
    ]
    if treated.trial is None:
        return "\n".join([*lines, f"  no trial: {treated.reason}", f"  written   {folder}"])
    effect = treated.trial.effect
    lines += [
        "",
        f"  {treated.trial.outcome}: {treated.trial.treatment}, {effect.value:+.3f} [{effect.low:+.3f}, "
        f"{effect.high:+.3f}] over {effect.n} seeds; {treated.trial.reason}",
        f"  written   {folder} (diagnosis, trial{', plan, network' if treated.fit is not None else ''}; "
        f"{treated.seconds:,.0f} s, {treated.cost:.0f} times the training as it is)",
    ]
    return "\n".join(lines)


def summary(done: TreatedRun) -> str:
    """Return what came of a course, and where it lies."""
    course = done.treated.course
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    lines = course_lines(course, width=width, colour=sys.stdout.isatty())
    folder = shlex.quote(str(done.folder))
    more = (
        f"go on: equipoise treat {folder}"
        if not course.finished
        else f"more time: equipoise treat {folder} --budget 1h"
    )
    last = [f"  report    {done.folder / 'report.html'} ({course.seconds:,.0f} s)      {more}"]
    if course.adopted:
        plan = done.folder / TREATED / "plan.toml"
        last.insert(0, f"  treated   {plan}      run it: equipoise run {shlex.quote(str(plan))}")
    return "\n".join(["", lines, "", *last])
