"""The verb `run`."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from equipoise.cli.on import on_cluster, place, way_to_train
from equipoise.cli.screen import Screen
from equipoise.cli.treating import CUT_OFF
from equipoise.cli.treating import summary as treated_summary
from equipoise.core.estimate import Verdict
from equipoise.core.progress import Listener, silent
from equipoise.core.report import Report
from equipoise.core.stop import StopReason
from equipoise.examine.catalogue import load_plugin
from equipoise.report.terminal import finding_lines
from equipoise.run.folder import RunState, open_folder
from equipoise.run.job import Options, Outcome, options_of, run
from equipoise.run.job import resume as resume_run
from equipoise.run.rank import take_part, take_part_again
from equipoise.run.treating import treat_run

TREAT_S = 600.0
"""Seconds for a treatment, where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a new run is told beside WHAT; see the command line's help for each."""

    target: str | None
    task: str | None
    network: str | None
    seed: int | None
    plain: bool


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
    plain: bool,
    treat: bool,
    train: bool,
    trust: bool,
    plugins: tuple[Path, ...],
    on: str | None,
    sharded: bool,
    quiet: bool,
) -> int:
    """Run or resume, treat if asked, print the summary, and return the exit code (1 when the gate is shut)."""
    where = place(on)
    loaded = tuple(question for path in plugins for question in load_plugin(path))
    before = options_of(RunState.load(open_folder(resume).state)) if resume else Options()
    with on_cluster(where), way_to_train(sharded=sharded) as way:
        options = Options(
            train=train and before.train,
            trust=trust or before.trust,
            select=select or before.select,
            ignore=ignore or before.ignore,
            budget_s=before.budget_s if budget_s is None or treat else budget_s,
            treat_s=(before.treat_s or TREAT_S if budget_s is None else budget_s) if treat else before.treat_s,
            plugins=loaded,
            way=way,
        )
        named = Named(target=target, task=task, network=network, seed=seed, plain=plain)
        if not way.together.first:
            return _take_part(what, resume, named, options)
        outcome = _run(what, out, resume, named, options, silent if quiet else Screen())
        print(outcome.folder / "report.html" if quiet else _summary(outcome))
        if options.treat_s is not None and not _treated(outcome, options.treat_s, trust=options.trust, quiet=quiet):
            return CUT_OFF
    return int(gate is not None and _worst(outcome.report) >= Verdict(gate).severity)


def _run(
    what: str, out: Path | None, resume: Path | None, named: Named, options: Options, listener: Listener
) -> Outcome:
    if resume is not None:
        return resume_run(resume, options=options, on_progress=listener)
    return run(
        what,
        out=out,
        target=named.target,
        task=named.task,
        network=named.network,
        seed=named.seed,
        plain=named.plain,
        options=options,
        on_progress=listener,
    )


def _take_part(what: str, resume: Path | None, named: Named, options: Options) -> int:
    """Do what a rank does that is not the first."""
    if resume is not None:
        take_part_again(resume, options.way, trust=options.trust)
        return 0
    take_part(
        what,
        options.way,
        target=named.target,
        task=named.task,
        network=named.network,
        seed=named.seed,
        plain=named.plain,
        train=options.train,
        trust=options.trust,
    )
    return 0


def _treated(outcome: Outcome, budget_s: float, *, trust: bool, quiet: bool) -> bool:
    """Treat what was run, unless that is done or the run itself was cut off; return whether it came to its end."""
    interrupted = outcome.fit is not None and outcome.fit.stopped is StopReason.INTERRUPTED
    if interrupted or (outcome.report.course is not None and outcome.report.course.finished):
        return not interrupted
    listener = silent if quiet else Screen()
    done = treat_run(outcome.folder, budget_s=budget_s, trust=trust, on_progress=listener)
    if not quiet:
        print(treated_summary(done))
    return done.treated.course.finished


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
