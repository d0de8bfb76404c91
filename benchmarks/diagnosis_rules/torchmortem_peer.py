"""torchmortem as it is installed, in an environment of its own: one process of that environment, one line a job.

Run as a file by the other environment's Python it serves jobs: reads one as JSON from stdin, watches the whole training
of the program with `torchmortem.Autopsy` at its defaults, and writes the verdict as JSON to stdout. A finding of at
least WARNING counts; INFO does not.
"""

import contextlib
import functools
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from benchmarks.diagnosis_rules.words import Cause, cause, verdict  # noqa: E402  the path comes first

SYMPTOMS = (
    ("gradient_flow", r"^Vanishing", "vanishing"),
    ("gradient_flow", r"^Exploding", "exploding"),
    ("gradient_flow", r"^Gradient stalling", "stalling"),
    ("dead_units", "", "dead_units"),
    ("saturation", "", "saturation"),
    ("update_ratio", "too low", "update ratio low"),
    ("update_ratio", "too high", "update ratio high"),
    ("loss_dynamics", "divergence", "divergence"),
    ("loss_dynamics", "plateau", "plateau"),
    ("rank_collapse", "", "rank_collapse"),
    ("weight_norm", "explosion", "weight explosion"),
    ("weight_norm", "Stagnant", "weight stagnation"),
    ("weight_norm", "imbalance", "weight imbalance"),
    ("gradient_noise", "", "gradient_noise"),
)
"""Category and title of a finding, and the symptom of `words.py`."""


def named(category: str, title: str, layers: list[str]) -> Cause:
    """Return a finding of torchmortem as a cause; the first layer that it names is the place."""
    symptom = next(word for kind, pattern, word in SYMPTOMS if kind == category and re.search(pattern, title))
    return cause("torchmortem", symptom, f"layer:{layers[0]}" if layers else "", title)


@functools.cache
def _served(python: Path) -> "subprocess.Popen[str]":
    """Start the process that serves jobs, once; it ends when its stdin is closed, so with this process."""
    return subprocess.Popen([python, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def judge(job: dict[str, Any], python: Path) -> dict[str, Any]:
    """Return what torchmortem says of the program of a job, with the seconds that watching and its report took.

    Raises:
        RuntimeError: The other environment failed; the message is its own.
    """
    process = _served(python)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline() or '{"failed": "the process died"}')
    if "failed" in answer:
        raise RuntimeError(f"got {answer['failed']} from torchmortem; expected a verdict. Run its environment by hand.")
    return answer


def _autopsy(job: dict[str, Any]) -> dict[str, Any]:
    import torch
    from torchmortem import Autopsy, Severity

    from benchmarks import diagnosis_programs

    package = diagnosis_programs.load(Path(job["programs"]))
    given = diagnosis_programs.subject(package, job["case"], job["version"], job["seed"], plain=False)
    start, cpu = time.perf_counter(), time.process_time()
    assert given.begin is not None
    assert given.step is not None
    generator = torch.Generator().manual_seed(given.seed + 1)
    torch.manual_seed(given.seed + 1)
    network, optimizer = given.begin()
    inputs, targets = given.train
    with Autopsy(network, optimizer=optimizer) as autopsy:
        for _ in range(given.epochs):
            n = len(inputs)
            order = torch.randperm(n, generator=generator) if given.shuffle else torch.arange(n)
            for rows in order.split(given.batch_size):
                autopsy.step(loss=float(given.step(network, optimizer, (inputs[rows], targets[rows]))))
    report = autopsy.get_report()
    findings = [one for one in report.findings if one.severity >= Severity.WARNING] if report else []
    answer = verdict([named(one.category, one.title, list(one.affected_layers)) for one in findings])
    took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    return answer | {name: round(value, 3) for name, value in took.items()}


def _listen(jobs: "queue.SimpleQueue[str]") -> None:
    """Hand jobs on; when whoever sends them is gone, end at once, in the middle of a job too."""
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def _serve() -> None:
    import torch

    torch.set_num_threads(1)
    out, jobs = sys.stdout, queue.SimpleQueue[str]()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    while True:
        line = jobs.get()
        try:
            with contextlib.redirect_stdout(sys.stderr):
                answer = _autopsy(json.loads(line))
        except Exception as problem:  # whatever a program or the peer does, the next job is served
            answer = {"failed": f"{type(problem).__name__}: {problem}"[:300]}
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    _serve()
