"""The whole job: plan, train, examine, write the folder."""

import dataclasses
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise.core.plan import Plan, read_plan, write_plan
from equipoise.core.progress import Listener, silent
from equipoise.core.report import Report
from equipoise.core.stop import StopReason
from equipoise.data.load import load
from equipoise.data.samples import Splits
from equipoise.examine.catalogue import check_asked
from equipoise.examine.examination import examine_subject
from equipoise.examine.question import Question
from equipoise.examine.record import report_of
from equipoise.examine.subject import Subject
from equipoise.fit.fit import fit
from equipoise.fit.fitted import Fit
from equipoise.fit.way import ALONE, Way
from equipoise.networks.archive import save_network
from equipoise.report.pages import write_pages
from equipoise.run.folder import RunFolder, RunState, new_folder, open_folder
from equipoise.run.what import resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is to be done; see the command line's help for each.

    Attributes:
        train: Whether to train; else the network is examined as it came.
        trust: Whether files that may run code when read are allowed.
        select, ignore: Ids or themes of questions to ask only, or to leave out.
        budget_s: Seconds for the examination.
        treat_s: Seconds for the treatment that the command line does after the run; None for none.
        plugins: Questions beyond the installed ones.
        way: Who trains: this process, or ranks that `torchrun` started, of which this is the first.
    """

    train: bool = True
    trust: bool = False
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    budget_s: float = 45.0
    treat_s: float | None = None
    plugins: tuple[Question, ...] = field(default=())
    way: Way = ALONE


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A run: where it lies, what it found, and its fit (None when it had been finished before)."""

    folder: Path
    report: Report
    fit: Fit | None


def run(
    what: Any,
    *,
    out: str | Path | None = None,
    target: str | None = None,
    task: str | None = None,
    network: str | None = None,
    seed: int | None = None,
    plain: bool = False,
    options: Options | None = None,
    on_progress: Listener = silent,
) -> Outcome:
    """Plan, train, examine and write a new run folder.

    Args:
        what: Whatever `resolve` takes.
        out: The run folder; without it, `runs/<date>-<name>`.
        target: Column or array to predict, for bare data.
        task: The task, for bare data, when it cannot be told from the target.
        network: A network to use instead of the plan's.
        seed: Replaces the plan's seed.
        plain: Whether steps are taken as PyTorch's tutorials take them: `recipe.tuned = false`.
        options: How it is to be done.
        on_progress: Told how far the work is.

    Raises:
        ValueError: The data, the plan or the network cannot be used; the message says what to do.
        OSError: The folder cannot be written.
    """
    options = options or Options()
    resolved = resolve(what, target=target, task=task, network=network, seed=seed, on_progress=on_progress)
    check_asked(options.select, options.ignore, resolved.plan.claims, options.plugins)
    folder = options.way.together.agree(new_folder(resolved.plan.name, None if out is None else Path(out)))
    plan = resolved.plan.replace(recipe__tuned=False) if plain else resolved.plan
    named: dict[str, object] = {"--target": target, "--task": task, "--network": network, "--seed": seed}
    state = RunState(
        command=_command(what, named, options) + " --plain" * plain,
        what=str(what) if isinstance(what, (str, Path)) else plan.name,
        seed=plan.seed,
        train=options.train,
        trust=options.trust,
        select=options.select,
        ignore=options.ignore,
        budget_s=options.budget_s,
        treat_s=options.treat_s,
    )
    state.save(folder.state)
    write_plan(plan, folder.plan)
    return _carry_out(plan, folder, state, options, resolved.splits, resume=False, on_progress=on_progress)


def resume(path: str | Path, *, options: Options | None = None, on_progress: Listener = silent) -> Outcome:
    """Go on with a run that was cut off, and end with the same network as an undisturbed one.

    A run that is finished already is returned as it is.

    Args:
        path: The run folder.
        options: How it is to be examined; without it, as the run folder says. Whether to train is always as it says.
        on_progress: Told how far the work is.

    Raises:
        FileNotFoundError: There is no run in that folder.
    """
    folder = open_folder(Path(path))
    state = RunState.load(folder.state)
    if state.status == "finished":
        return Outcome(folder.path, Report.load(folder.json), None)
    plan = read_plan(folder.plan)
    kept = options_of(state) if options is None else options
    kept = dataclasses.replace(kept, train=state.train, trust=kept.trust or state.trust)
    check_asked(kept.select, kept.ignore, plan.claims, kept.plugins)
    return _carry_out(plan, folder, state, kept, None, resume=True, on_progress=on_progress)


def options_of(state: RunState) -> Options:
    """Return the options that a run was started with."""
    return Options(
        train=state.train,
        trust=state.trust,
        select=state.select,
        ignore=state.ignore,
        budget_s=state.budget_s,
        treat_s=state.treat_s,
    )


def _carry_out(
    plan: Plan,
    folder: RunFolder,
    state: RunState,
    options: Options,
    splits: Splits | None,
    *,
    resume: bool,
    on_progress: Listener,
) -> Outcome:
    if splits is None:
        splits = load(plan.data, plan.seed, workspace=folder.path / "data", on_progress=on_progress)
    fitted = fit(
        plan,
        plan.seed,
        splits=splits,
        folder=folder.path,
        resume=resume,
        train=options.train,
        trust=options.trust,
        on=options.way,
        on_progress=on_progress,
    )
    keep_network(fitted, folder)
    report = _examined(fitted, folder, state, options, on_progress)
    interrupted = fitted.stopped is StopReason.INTERRUPTED
    state.replace(status="interrupted" if interrupted else "finished").save(folder.state)
    if not interrupted:
        shutil.rmtree(folder.path / "checkpoint", ignore_errors=True)
    return Outcome(folder.path, report, fitted)


def keep_network(fitted: Fit, folder: RunFolder) -> None:
    """Write a trained network into a run folder."""
    # Nothing that differs between two runs of one plan: the same training is the same bytes.
    extra = {"plan": fitted.plan.name, "seed": str(fitted.seed), "stopped": fitted.stopped.value}
    save_network(fitted.network, fitted.plan.network, fitted.splits.preprocessing, folder.network, extra=extra)


def _examined(fitted: Fit, folder: RunFolder, state: RunState, options: Options, on_progress: Listener) -> Report:
    subject = Subject(network=fitted.network, splits=fitted.splits, fit=fitted)
    again = f"equipoise run {shlex.quote(str(folder.plan))}"
    findings, not_examined = examine_subject(
        subject,
        select=options.select,
        ignore=options.ignore,
        budget_s=options.budget_s,
        claims=fitted.plan.claims,
        seed=fitted.seed,
        command=again,
        on_progress=on_progress,
        plugins=options.plugins,
    )
    command = state.command if fitted.plan.data.source == "given" else again
    report = report_of(subject, findings, not_examined, name=fitted.plan.name, command=command, plugins=options.plugins)
    report.save(folder.json)
    write_pages(report, folder.path)
    return report


def _command(what: Any, named: dict[str, object], options: Options) -> str:
    words = ["equipoise", "run", str(what) if isinstance(what, (str, Path)) else "(data from Python)"]
    for flag, value in named.items():
        words += [flag, str(value)] if value is not None else []
    words += _many("--select", options.select) + _many("--ignore", options.ignore)
    words += ["--no-fit"] if not options.train else []
    words += ["--trust"] if options.trust else []
    words += ["--treat", "--budget", f"{options.treat_s:g}s"] if options.treat_s is not None else []
    return " ".join(shlex.quote(word) for word in words)


def _many(flag: str, values: Sequence[str]) -> list[str]:
    return [flag, ",".join(values)] if values else []
