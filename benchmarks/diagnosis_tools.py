"""The tools that are scored: each takes a `Subject` and its allowance, and returns its verdict as plain values."""

import importlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.diagnosis_programs import Subject

Answer = dict[str, Any]
"""`healthy`; `causes`, each with `fault`, `where`, `confidence` and `evidence`; and whatever else the tool said."""

PEERS = Path(os.environ.get("EQUIPOISE_PEERS", "/tmp/peers"))
"""Environment that holds torchmortem."""


def equipoise(given: Subject, budget_s: float) -> Answer:
    """Return what `equipoise.diagnose` says."""
    from equipoise.examine.diagnosis.diagnose import diagnose

    found = diagnose(
        given.network,
        given.loss,
        given.optimizer,
        train=given.train,
        validation=given.validation,
        batch_size=given.batch_size,
        epochs=given.epochs,
        shuffle=given.shuffle,
        step=given.step,
        begin=given.begin,
        evaluate=given.evaluate,
        budget_s=budget_s,
    )
    return json.loads(found.model_dump_json()) | ({"healthy": None} if found.verdict == "unsure" else {})


def _rules(module: str) -> Callable[[Subject, float], Answer]:
    def tool(given: Subject, budget_s: float) -> Answer:
        del budget_s  # these tools watch the whole training
        found: Answer = importlib.import_module(f"benchmarks.diagnosis_rules.{module}").judge(given)
        return found

    return tool


TOOLS: dict[str, Callable[[Subject, float], Answer]] = {
    "equipoise": equipoise,
    "autotrainer": _rules("autotrainer"),
    "deepdiagnosis": _rules("deepdiagnosis"),
    "umlaut": _rules("umlaut"),
    "thedeepchecker": _rules("thedeepchecker"),
}
"""Tools that run in this process."""


def torchmortem(job: dict[str, Any]) -> Answer:
    """Return what torchmortem says; its environment builds the program of the job itself, and the tool sees no more."""
    from benchmarks.diagnosis_rules import torchmortem_peer

    return torchmortem_peer.judge(job, PEERS / "bin" / "python")


PEER_TOOLS: dict[str, Callable[[dict[str, Any]], Answer]] = {"torchmortem": torchmortem}
"""Tools that run in an environment of their own."""

NAMES = (*TOOLS, *PEER_TOOLS)


def absent() -> dict[str, str]:
    """Return the tools that cannot run here, each with the reason."""
    python = PEERS / "bin" / "python"
    if not python.is_file():
        return {"torchmortem": f"not installed: no environment at {PEERS}"}
    done = subprocess.run([python, "-c", "import torchmortem"], capture_output=True, text=True, check=False)
    return {"torchmortem": f"not installed in {PEERS}"} if done.returncode else {}
