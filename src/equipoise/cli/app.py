"""The command line: one verb a command; parse, call, print. Nothing heavy is imported before a verb runs."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from equipoise.cli.seconds import seconds

app = typer.Typer(
    name="equipoise",
    help="Train a network, ask whether it can be trusted, and answer with a number and an interval.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Gate = Literal["unsure", "warn", "error", "fail"]
Format = Literal["onnx", "pt2", "safetensors"]

What = Annotated[
    str,
    typer.Argument(
        help="A bundled plan, a plan.toml, a table (.csv, .parquet), an .npz, a folder of images, sounds or texts "
        "(one sub-folder a class), or module:function."
    ),
]
Target = Annotated[str | None, typer.Option(help="Column or array to predict, for bare data.")]
Task = Annotated[
    str | None,
    typer.Option(
        help="The task, for bare data: binary, multiclass, multilabel, regression, sequence-labelling, reconstruction "
        "or clustering; without it, told from the target."
    ),
]
NetworkOption = Annotated[
    str | None,
    typer.Option(
        "--network",
        help="Use this network: a .keras, .h5 or .pt2 file, weights.safetensors@module:function, or module:function.",
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Draws initialisation, order and split; without it, the plan's.")]
ExaminationBudget = Annotated[
    str | None,
    typer.Option(
        help="Time for the examination, such as 60s or 2m; without it, 45s. With --treat: for the treatment; "
        "without it, 10m."
    ),
]
Plain = Annotated[
    bool, typer.Option("--plain", help="Train step by step as PyTorch's tutorials do; nothing is tuned for speed.")
]
TreatToo = Annotated[bool, typer.Option("--treat", help="Then try treatments in paired trials, and keep what helps.")]
On = Annotated[
    str | None,
    typer.Option(
        help="Where: ray or ray:HOST:PORT (trainings and questions on the machines of a Ray cluster), torchrun:N "
        "(one network on N processes); without it, here."
    ),
]
Shard = Annotated[bool, typer.Option("--shard", help="Divide the weights among the processes of torchrun (FSDP2).")]
Trust = Annotated[bool, typer.Option("--trust", help="Allow files that may run code when they are read.")]


@app.command()
def run(
    what: Annotated[str, typer.Argument(help=str(What.__metadata__[0].help))] = "",
    out: Annotated[Path | None, typer.Option(help="The run folder; without it, runs/<date>-<name>.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    target: Target = None,
    task: Task = None,
    network: NetworkOption = None,
    select: Annotated[str, typer.Option(help="Questions or themes to ask only, separated by commas.")] = "",
    ignore: Annotated[str, typer.Option(help="Questions or themes to leave out, separated by commas.")] = "",
    budget: ExaminationBudget = None,
    gate: Annotated[Gate | None, typer.Option(help="Exit with 1 when a verdict is this bad or worse.")] = None,
    seed: Seed = None,
    plain: Plain = False,
    treat: TreatToo = False,
    no_fit: Annotated[bool, typer.Option("--no-fit", help="Examine the network as it comes; train nothing.")] = False,
    trust: Trust = False,
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file that brings further questions.")] = None,
    on: On = None,
    shard: Shard = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only the path of the report.")] = False,
) -> None:
    """Train a network, examine it, and write a folder with the report."""
    fixed = {
        "--out": out,
        "--target": target,
        "--task": task,
        "--network": network,
        "--seed": seed,
        "--plain": plain or None,
        "--no-fit": no_fit or None,
    }
    _check_run(what, resume, [flag for flag, value in fixed.items() if value is not None], treat=treat)
    if on is not None:
        _start_ranks(on)
    from equipoise.cli.running import carry_out

    code = carry_out(
        what,
        out=out,
        resume=resume,
        target=target,
        task=task,
        network=network,
        select=_names(select),
        ignore=_names(ignore),
        budget_s=None if budget is None else seconds(budget),
        gate=gate,
        seed=seed,
        plain=plain,
        treat=treat,
        train=not no_fit,
        trust=trust,
        plugins=tuple(plugin or ()),
        on=on,
        sharded=shard,
        quiet=quiet,
    )
    raise typer.Exit(code)


def _start_ranks(on: str) -> None:
    """Let the ranks that `--on` names, if any, carry out this command, and end with their exit code."""
    from equipoise.cli.on import is_rank, place, start_ranks

    ranks = place(on).ranks
    if ranks and not is_rank():
        raise typer.Exit(start_ranks(ranks, sys.argv[1:]))


def _check_run(what: str, resume: Path | None, given: list[str], *, treat: bool) -> None:
    """Refuse options of `run` that exclude one another; `given` are those that the run folder would say."""
    if bool(what) == (resume is not None):
        raise typer.BadParameter(
            f"got {'both WHAT and' if what else 'neither WHAT nor'} --resume; expected one of them. "
            "Try: equipoise run digits"
        )
    if treat and "--no-fit" in given:
        raise typer.BadParameter(
            "got --treat with --no-fit; expected one of them, since a treatment is a way to train. Leave one out."
        )
    if resume is not None and given:
        raise typer.BadParameter(
            f"got {', '.join(given)} with --resume; expected none, since the run folder says it. Leave it out."
        )


@app.command()
def treat(
    what: Annotated[
        str,
        typer.Argument(
            help="A run folder; or file.py:function (with --trust), a training of your own as `diagnose` takes it."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="For a training of your own: folder to write.")] = None,
    budget: Annotated[str, typer.Option(help="Time for it, such as 10m or 1h.")] = "10m",
    fix: Annotated[str | None, typer.Option(help="Try only what answers the finding of this question.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=6, help="Seeds of a trial; without it, as many as the budget has room for.")
    ] = None,
    trust: Trust = False,
    on: Annotated[
        str | None,
        typer.Option(help="ray or ray:HOST:PORT: trials on the machines of a Ray cluster; without it, here."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only the path of the treated plan.")] = False,
) -> None:
    """Try treatments on the plan of a run in paired trials, and keep what helps; cut off, it goes on."""
    from equipoise.cli.on import on_cluster, place
    from equipoise.cli.treating import carry_out, carry_out_program
    from equipoise.core.program_file import is_program

    if is_program(what):
        raise typer.Exit(carry_out_program(what, out=out, trust=trust, quiet=quiet))
    if out is not None:
        raise typer.BadParameter(
            f"got --out {str(out)!r} with a run folder; expected it with file.py:function only, since the course of a "
            "run is written into its folder. Leave it out."
        )

    where = place(on)
    if where.ranks:
        raise typer.BadParameter(
            f"got --on {on}; expected ray or ray:HOST:PORT, since trials are many trainings. Use one of these."
        )
    with on_cluster(where):
        code = carry_out(Path(what), budget_s=seconds(budget), fix=fix, seeds=seeds, trust=trust, quiet=quiet)
    raise typer.Exit(code)


@app.command()
def diagnose(
    what: Annotated[
        str,
        typer.Argument(
            help="Whatever `equipoise run` takes, or file.py:function (with --trust), where the function returns the "
            "arguments of equipoise.diagnose by name: network, loss, optimizer, train, and more."
        ),
    ],
    target: Target = None,
    task: Task = None,
    network: NetworkOption = None,
    budget: Annotated[str, typer.Option(help="Time for the diagnosis, such as 60s or 2m.")] = "60s",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    seed: Seed = None,
    trust: Trust = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only the verdict, the causes and their cures.")] = False,
) -> None:
    """Find what is wrong with a training, where and why; exit with 1 when it is sick, 3 when that is unsure."""
    from equipoise.cli.diagnosing import carry_out

    code = carry_out(
        what,
        target=target,
        task=task,
        network=network,
        seed=seed,
        trust=trust,
        budget_s=seconds(budget),
        as_json=json,
        quiet=quiet,
    )
    raise typer.Exit(code)


@app.command()
def show(
    what: What,
    target: Target = None,
    task: Task = None,
    network: NetworkOption = None,
    seed: Seed = None,
    trust: Trust = False,
) -> None:
    """Print the layer table of a network: shapes, parameters, operations, memory."""
    from equipoise.cli.showing import show_network

    print(show_network(what, target=target, task=task, network=network, seed=seed, trust=trust))


@app.command()
def questions(
    question: Annotated[str | None, typer.Argument(help="Explain this one: why, how, what a verdict means.")] = None,
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file that brings further questions.")] = None,
) -> None:
    """List the questions, or explain one."""
    from equipoise.cli.explaining import explain, list_questions

    plugins = tuple(plugin or ())
    print(list_questions(plugins) if question is None else explain(question, plugins))


@app.command()
def plans() -> None:
    """List the bundled plans."""
    from equipoise.cli.planning import list_plans

    print(list_plans())


@app.command()
def report(directory: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write the page and the JUnit file of a run again, from its report.json."""
    from equipoise.cli.reporting import render_again

    print(render_again(directory))


@app.command()
def compare(
    left: Annotated[Path, typer.Argument(help="A run folder.")],
    right: Annotated[Path, typer.Argument(help="Another run folder.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what differs between two runs: recipe, findings, and metrics with intervals."""
    from equipoise.cli.reporting import compare_runs

    print(compare_runs(left, right, as_json=json))


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(help="A run folder.")],
    to: Annotated[Format, typer.Option(help="The format.")],
    out: Annotated[Path | None, typer.Option(help="The file; without it, network.<ending> in the run folder.")] = None,
    trust: Trust = False,
) -> None:
    """Export a run's network, open it again in its own runtime, and compare on the test part."""
    from equipoise.cli.exporting import export_run

    text, passed = export_run(directory, to, out, trust=trust)
    print(text)
    raise typer.Exit(0 if passed else 1)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def main() -> None:
    """Run the command line; a mistake of the user ends with its message and exit code 2."""
    try:
        app()
    except (ValueError, OSError, ModuleNotFoundError) as problem:
        rank = os.environ.get("RANK", "0") if "TORCHELASTIC_RUN_ID" in os.environ else "0"
        print(f"equipoise{'' if rank == '0' else f', rank {rank}'}: {problem}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("\nequipoise: interrupted; what was written stays. Go on: equipoise run --resume DIR", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
