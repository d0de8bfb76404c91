"""The verb `diagnose`."""

import json
import shutil
import sys
import time

from equipoise.cli.screen import Screen
from equipoise.core.diagnosis import Diagnosis
from equipoise.core.progress import Listener, Progress, silent
from equipoise.examine.diagnosis.diagnose import INTERRUPTED
from equipoise.report.diagnosis_lines import diagnosis_lines, diagnosis_summary
from equipoise.run.diagnosing import diagnose_what

UNSURE = 3
"""Exit code where neither the training nor the probes could say."""
CUT_OFF = 130
"""Exit code after Ctrl-C, as shells count it: 128 and the number of the signal."""


def carry_out(
    what: str,
    *,
    target: str | None,
    task: str | None,
    network: str | None,
    seed: int | None,
    trust: bool,
    budget_s: float,
    as_json: bool,
    quiet: bool,
) -> int:
    """Diagnose, print, and return the exit code: 0 healthy, 1 sick, 3 unsure, 130 interrupted."""
    try:
        found = diagnose_what(
            what,
            target=target,
            task=task,
            network=network,
            seed=seed,
            trust=trust,
            budget_s=budget_s,
            on_progress=silent if quiet else Countdown(Screen(out=sys.stderr), budget_s),
        )
    except KeyboardInterrupt:
        print("\nequipoise: interrupted before the first probe; nothing is known yet.", file=sys.stderr)
        return CUT_OFF
    interrupted = INTERRUPTED in found.skipped
    print(_text(found, as_json=as_json, quiet=quiet, interrupted=interrupted))
    return CUT_OFF if interrupted else {"healthy": 0, "sick": 1, "unsure": UNSURE}[found.verdict]


def _text(found: Diagnosis, *, as_json: bool, quiet: bool, interrupted: bool) -> str:
    if as_json:
        return json.dumps(found.plain(), indent=2, ensure_ascii=False)
    colour = sys.stdout.isatty()
    if quiet:
        return diagnosis_summary(found, interrupted=interrupted, colour=colour)
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    return diagnosis_lines(found, interrupted=interrupted, width=width, colour=colour)


class Countdown:
    """A listener that says, where the number of runs is not known, how much of the budget is left at most."""

    def __init__(self, shown: Listener, budget_s: float) -> None:
        self._shown, self._budget_s = shown, budget_s
        self._began: float | None = None
        self._runs = 0

    def __call__(self, progress: Progress) -> None:
        """Pass a message on, with what is left."""
        if progress.phase not in ("probe", "diagnose"):
            self._shown(progress)
            return
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        note = progress.note
        if progress.phase == "diagnose" and not progress.finished:
            self._runs += 1
            note = f"{note} · at most {max(0.0, self._budget_s - (now - self._began)):.0f} s left"
        if progress.finished and not note:
            note = f"probes: {progress.done}" if progress.phase == "probe" else f"runs: {self._runs}"
        self._shown(Progress(progress.phase, progress.done, progress.total, note, progress.finished))
