"""Does a tool find the fault of a training, name it and place it, and leave healthy ones alone?

    python benchmarks/diagnosis.py --programs DIR [--tools equipoise umlaut] [--seeds 5] [--workers 2]
        [--only ID ...] [--versions faulty,fixed] [--resume FILE] [--out FILE] [--plain] [--list]

`DIR` holds a package of faulty programs with fixed versions and healthy controls (`diagnosis_programs.py` says what it
offers). A tool is handed network, loss, optimiser, batches and loop body, never an id, a fault or a file. Every verdict
is kept in `records/<date>-diagnosis.json`. `README.md` says how verdicts are scored.
"""

import argparse
import contextlib
import functools
import importlib
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a file, also in the processes that it starts
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import diagnosis_places, diagnosis_programs, diagnosis_scores, diagnosis_tools, diagnosis_workers

PACKAGES = ("equipoise", "torch", "numpy", "scipy")
PATIENCE_TIMES, PATIENCE_MORE_S = 4.0, 120.0
"""A call is given up after this many times its allowance and this many seconds more."""

SAVE_EVERY_S = 15.0


@functools.cache
def _warm_up() -> None:
    """Take one step of some training, so that no tool pays for what PyTorch loads on first use; on one thread."""
    import torch

    torch.set_num_threads(1)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(18, 2))
    optimizer = torch.optim.Adam(network.parameters())
    torch.nn.functional.cross_entropy(network(torch.zeros(2, 1, 5, 5)), torch.tensor([0, 1])).backward()
    optimizer.step()
    with contextlib.suppress(ImportError):
        importlib.import_module("equipoise.examine.diagnosis.diagnose")


def judge(job: dict[str, Any]) -> dict[str, Any]:
    """Build the program of a job, hand it to the tool, and return the verdict with its seconds."""
    import torch

    if job["tool"] in diagnosis_tools.PEER_TOOLS:
        answer = diagnosis_tools.PEER_TOOLS[job["tool"]](job)
        return {"answer": answer, "seconds": answer["seconds"], "cpu_seconds": answer["cpu_seconds"]}
    package = diagnosis_programs.load(Path(job["programs"]))
    _warm_up()
    torch.manual_seed(job["seed"])
    given = diagnosis_programs.subject(package, job["case"], job["version"], job["seed"], plain=job["plain"])
    wall, cpu = time.perf_counter(), time.process_time()
    answer = diagnosis_tools.TOOLS[job["tool"]](given, job["allowed_s"])
    return {
        "answer": answer,
        "seconds": round(time.perf_counter() - wall, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
    }


def verdict(job: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Return one row of the record."""
    answer = result.get("answer") or {}
    named = {name: job[name] for name in ("tool", "case", "version", "seed", "allowed_s", "plain")}
    said = {"healthy": answer.get("healthy"), "causes": list(answer.get("causes", ()))}
    kept = {
        name: value
        for name, value in answer.items()
        if name not in (*said, "seconds", "cpu_seconds", "symptoms") and value
    }
    symptoms = [one for one in answer.get("symptoms", ()) if one.get("verdict") not in ("pass", "skipped")]
    return {
        **named,
        **said,
        "error": result.get("error"),
        "seconds": round(result["seconds"], 3),
        "cpu_seconds": result.get("cpu_seconds"),
        **kept,
        **({"symptoms": symptoms} if symptoms else {}),
        **({"traceback": result["traceback"]} if "traceback" in result else {}),
    }


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return what makes a run the same run."""
    return tuple(row[name] for name in ("tool", "case", "version", "seed", "plain"))


def jobs(options: argparse.Namespace, package: Any, tools: list[str]) -> list[dict[str, Any]]:
    """Return every run that is asked for: every program once before any is run by another seed."""
    faulty = [(case, "faulty") for case in package.cases()]
    fixed = [(case, "fixed") for case in (*package.cases(), *package.healthy())]
    wanted = [one for one in (*faulty, *fixed) if one[1] in options.versions]
    if options.only:
        unknown = set(options.only) - {case for case, _ in wanted}
        if unknown:
            names = " ".join(sorted(unknown))
            raise SystemExit(f"got --only {names}; expected ids of the package. Check their spelling.")
        wanted = [one for one in wanted if one[0] in options.only]
    allowed = {one: diagnosis_programs.allowance_s(package, *one, 0) for one in wanted}
    return [
        {
            "tool": tool,
            "case": case,
            "version": which,
            "seed": seed,
            "programs": str(options.programs),
            "plain": options.plain,
            "allowed_s": allowed[case, which],
            "patience_s": options.patience or PATIENCE_TIMES * allowed[case, which] + PATIENCE_MORE_S,
        }
        for seed in range(options.seeds)
        for case, which in wanted
        for tool in tools
    ]


def measure(options: argparse.Namespace, rows: list[dict[str, Any]], done: list[dict[str, Any]], save: Any) -> None:
    """Run what is not done yet; `done` grows, and `save` is called now and then."""
    have = {key(one) for one in done}
    left = [job for job in rows if key(job) not in have]
    start = saved = time.monotonic()
    for count, (job, result) in enumerate(diagnosis_workers.results(left, judge, options.workers), 1):
        done.append(verdict(job, result))
        passed = time.monotonic() - start
        minutes = passed / count * (len(left) - count) / 60
        one = done[-1]
        named = one["causes"][0]["fault"] if one["causes"] else "no cause"
        said = one["error"] or ("healthy" if one["healthy"] else named)
        print(
            f"{count}/{len(left)} about {minutes:.0f} min left: {job['tool']} {job['case']} {job['version']} "
            f"seed {job['seed']}: {said} ({one['seconds']:.1f} s)",
            file=sys.stderr,
        )
        if options.full is not None:
            name = f"{job['tool']}-{job['case']}-{job['version']}-{job['seed']}.json"
            (options.full / name).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if time.monotonic() - saved > SAVE_EVERY_S:
            save()
            saved = time.monotonic()


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, required=True, help="package of programs, or the folder it lies in")
    parser.add_argument("--tools", nargs="+", choices=diagnosis_tools.NAMES, default=["equipoise"])
    parser.add_argument("--all-tools", action="store_true", help="every tool")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to SEEDS - 1")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--only", nargs="+", metavar="ID")
    parser.add_argument("--versions", type=lambda text: text.split(","), default=["faulty", "fixed"])
    parser.add_argument("--plain", action="store_true", help="leave the loop out where a program has none of its own")
    parser.add_argument(
        "--patience", type=float, metavar="S", help="give a call up after so long (default: 4 x + 120 s)"
    )
    parser.add_argument("--resume", type=Path, metavar="FILE", help="keep the verdicts of this record, run the others")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the record goes")
    parser.add_argument("--full", type=Path, metavar="FOLDER", help="also write everything a tool said, one file a run")
    parser.add_argument("--list", action="store_true", help="print a line for every run that is not right")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure, score, print one table and write the record."""
    options = options_of(arguments)
    package = diagnosis_programs.load(options.programs)
    missing = diagnosis_tools.absent()
    asked = list(diagnosis_tools.NAMES) if options.all_tools else options.tools
    tools = [name for name in asked if name not in missing]
    notes = {name: missing[name] for name in asked if name in missing}
    if options.full is not None:
        options.full.mkdir(parents=True, exist_ok=True)
    rows = jobs(options, package, tools)
    before = json.loads(options.resume.read_text(encoding="utf-8"))["verdicts"] if options.resume else []
    done = [one for one in before if one["error"] is None]  # what failed is tried again
    command = " ".join(["python benchmarks/diagnosis.py", *(sys.argv[1:] if arguments is None else arguments)])
    began = datetime.now(UTC)
    folder = Path(__file__).with_name("records")
    out = options.out or options.resume or folder / f"{began:%Y-%m-%d}-diagnosis.json"

    def save() -> dict[str, Any]:
        record = recorded(done, package, command, began, notes)
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_suffix(".part")
        part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(out)
        return record

    try:
        measure(options, rows, done, save)
    finally:
        record = save()
    asked_for = {key(row) for row in rows}
    shown = [one for one in done if key(one) in asked_for]
    if options.list:
        print(diagnosis_scores.listing(shown, diagnosis_scores.truths(package, versions_in(shown))))
    print(diagnosis_scores.table(scored(shown, package), notes))
    print(f"record: {out} ({len(record['verdicts'])} verdicts)")
    return 0


def versions_in(rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Return the (id, version) pairs of some verdicts."""
    return {(one["case"], one["version"]) for one in rows}


def scored(rows: list[dict[str, Any]], package: Any) -> dict[str, dict[str, Any]]:
    """Return the scores by tool, in the order of `NAMES`; runs with a plain loop are a tool of their own."""
    known = diagnosis_scores.truths(package, versions_in(rows))
    table = {}
    for tool in diagnosis_tools.NAMES:
        for plain in (False, True):
            mine = [one for one in rows if one["tool"] == tool and one["plain"] is plain]
            if mine:
                table[f"{tool} --plain" if plain else tool] = diagnosis_scores.scores(mine, known)
    return table


def recorded(
    rows: list[dict[str, Any]], package: Any, command: str, began: datetime, notes: dict[str, str]
) -> dict[str, Any]:
    """Return the whole record."""
    from equipoise.fit.execution import machine

    known = diagnosis_scores.truths(package, versions_in(rows))
    return {
        "what": "verdicts on faulty trainings, fixed versions and healthy ones; shares with 95 % Wilson intervals",
        "command": command,
        "began": began.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg(),
        "versions": {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "not_run": notes,
        "scores": scored(rows, package),
        "places_differ": diagnosis_places.disagreements(package),
        "truths": diagnosis_scores.as_record(known),
        "verdicts": sorted(rows, key=lambda one: tuple(map(str, key(one)))),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


if __name__ == "__main__":
    raise SystemExit(main())
