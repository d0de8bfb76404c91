"""Treats the program that the user names, and keeps what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.core.atomic import write_text
from equipoise.core.plan import write_plan
from equipoise.core.program_file import program_of
from equipoise.core.progress import Listener, silent
from equipoise.examine.planned.program import Program
from equipoise.examine.probes.setup import experiment
from equipoise.run.diagnosing import checked
from equipoise.run.folder import RunFolder, new_folder
from equipoise.run.job import keep_network
from equipoise.run.own_training import TreatedTraining, treat_training


@dataclass(frozen=True, slots=True, eq=False)
class TreatedProgram:
    """What came of a program, and the folder where it lies."""

    treated: TreatedTraining
    folder: RunFolder


def treat_program(
    what: str, *, out: Path | None = None, trust: bool = False, on_progress: Listener = silent
) -> TreatedProgram:
    """Treat the training that `file.py:function` returns, and write diagnosis, trial, plan and network.

    Args:
        what: `file.py:function`, whose function returns the arguments of `equipoise.diagnose` by name.
        out: A new or empty folder; without it, `runs/<date>-<file>`.
        trust: Whether the file may be run.
        on_progress: Told of every training.

    Raises:
        ValueError: The program cannot be used; the message says what to do.
        OSError: The folder cannot be written.
    """
    with experiment(0):
        program = Program(checked(program_of(what, trust=trust), what))
    given: Mapping[str, Any] = program.arguments
    folder = new_folder(Path(what.rpartition(":")[0]).stem, out)
    treated = treat_training(**given, on_progress=on_progress)
    write_text(folder.path / "diagnosis.json", treated.diagnosis.model_dump_json(indent=2) + "\n")
    if treated.trial is not None:
        write_text(folder.path / "trial.json", treated.trial.model_dump_json(indent=2) + "\n")
    if treated.fit is not None:
        write_plan(treated.fit.plan, folder.plan)
        keep_network(treated.fit, folder)
    return TreatedProgram(treated, folder)
