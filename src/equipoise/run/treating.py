"""Treating the plan of a run: trials, the treated network and its report, and a chapter in the run's own report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.core.plan import read_plan, write_plan
from equipoise.core.progress import Listener, silent
from equipoise.core.report import Report
from equipoise.report.pages import write_pages
from equipoise.run.folder import RunFolder, RunState, open_folder
from equipoise.run.job import keep_network
from equipoise.treat.treat import Treated, treat

TREATED = "treated"


@dataclass(frozen=True, slots=True, eq=False)
class TreatedRun:
    """A run after its treatment.

    Attributes:
        folder: The run folder; the treated plan lies in `treated/`, with its network and report where anything was
            adopted.
        treated: What was tried, and the plan and network that came of it.
        report: The run's report, with the course.
    """

    folder: Path
    treated: Treated
    report: Report


def treat_run(
    directory: str | Path,
    *,
    budget_s: float = 600.0,
    fix: str | None = None,
    seeds: int | None = None,
    data: Any = None,
    trust: bool = False,
    on_progress: Listener = silent,
) -> TreatedRun:
    """Treat the plan of a finished run; one whose treatment was cut off, or that has more time now, is gone on with.

    Args:
        directory: The run folder.
        budget_s: Seconds for it.
        fix: Id of a question: only what answers its finding is tried.
        seeds: Seeds of a trial at its last look; without it, as many as the budget has room for.
        data: For a run on data from Python: the same data again.
        trust: Whether a foreign network's file may be unpickled.
        on_progress: Told how far it is.

    Raises:
        FileNotFoundError: There is no run in that folder, or it has not been examined yet.
        ValueError: The run was not to train; nothing wrong was found where `fix` says; see `treat`.
    """
    folder = open_folder(Path(directory))
    if not folder.json.is_file():
        raise FileNotFoundError(
            f"got {str(directory)!r}, a run without a report; expected a finished run. Finish it with: equipoise run "
            f"--resume {directory}"
        )
    state, report, plan = RunState.load(folder.state), Report.load(folder.json), read_plan(folder.plan)
    if not state.train:
        raise ValueError(
            f"got {str(directory)!r}, a run that trained nothing; expected one whose plan was trained. Run it without "
            "--no-fit first."
        )
    inner = RunFolder(folder.path / TREATED)
    treated = treat(
        plan,
        report,
        budget_s=budget_s,
        fix=fix,
        seeds=seeds,
        data=data,
        trust=trust or state.trust,
        folder=inner.path,
        resume=True,
        on_progress=on_progress,
    )
    _write_treated(treated, inner, state, f"equipoise treat {directory}")
    report = report.model_copy(update={"course": treated.course})
    report.save(folder.json)
    write_pages(report, folder.path)
    return TreatedRun(folder.path, treated, report)


def _write_treated(treated: Treated, folder: RunFolder, state: RunState, command: str) -> None:
    write_plan(treated.plan, folder.plan)
    if treated.fit is None or treated.report is None:
        return
    keep_network(treated.fit, folder)
    report = treated.report.model_copy(update={"command": f"equipoise run {folder.plan}"})
    report.save(folder.json)
    write_pages(report, folder.path)
    state.replace(command=command, what=str(folder.plan), seed=treated.fit.seed, status="finished").save(folder.state)
