"""The verb `run`."""

import shlex
import sys
from pathlib import Path

from equipoise.cli.screen import Screen
from equipoise.core.estimate import Verdict
from equipoise.core.progress import silent
from equipoise.core.report import Report
from equipoise.core.stop import StopReason
from equipoise.examine.catalogue import load_plugin
from equipoise.report.terminal import finding_lines
from equipoise.run.folder import RunState, open_folder
from equipoise.run.job import Options, Outcome, options_of, run
from equipoise.run.job import resume as resume_run


def carry_out(
    what: str,
    *,
    out: Path | None,
    resume: Path | None,
    target: str | None,
    task: str | None,
    network: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    budget_s: float | None,
    gate: str | None,
    seed: int | None,
    train: bool,
    trust: bool,
    plugins: tuple[Path, ...],
    quiet: bool,
) -> int:
    """Run or resume, print the summary, and return the exit code (1 when the gate is shut)."""
    loaded = tuple(question for path in plugins for question in load_plugin(path))
    listener = silent if quiet else Screen()
    before = options_of(RunState.load(open_folder(resume).state)) if resume else Options()
    options = Options(
        train=train and before.train,
        trust=trust or before.trust,
        select=select or before.select,
        ignore=ignore or before.ignore,
        budget_s=before.budget_s if budget_s is None else budget_s,
        plugins=loaded,
    )
    if resume is not None:
        outcome = resume_run(resume, options=options, on_progress=listener)
    else:
        outcome = run(
            what, out=out, target=target, task=task, network=network, seed=seed, options=options, on_progress=listener
        )
    print(outcome.folder / "report.html" if quiet else _summary(outcome))
    return int(gate is not None and _worst(outcome.report) >= Verdict(gate).severity)


def _worst(report: Report) -> int:
    return max((finding.verdict.severity for finding in report.findings), default=0)


def _summary(outcome: Outcome) -> str:
    page = outcome.folder / "report.html"
    size = page.stat().st_size / 1000
    colour = sys.stdout.isatty()
    again = f"equipoise run {shlex.quote(str(outcome.folder / 'plan.toml'))}"
    if outcome.fit is not None and outcome.fit.stopped is StopReason.INTERRUPTED:
        again = f"equipoise run --resume {shlex.quote(str(outcome.folder))}"
    last = f"  report    {page} ({size:,.0f} kB)      again: {again}"
    return f"\n{finding_lines(outcome.report, colour=colour)}\n\n{last}"
