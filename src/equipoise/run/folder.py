"""The run folder: where it is, what lies in it, and what must not be overwritten."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from equipoise.core.record import Record


class RunState(Record):
    """What a run wrote about itself; `run.json`.

    Attributes:
        command: The command that was given.
        what: What was to be run.
        seed: The seed.
        status: `running` until the report is written.
        train: Whether the network was to be trained.
        trust: Whether the user allowed files that may run code.
        select, ignore: Questions asked for, and left out.
        budget_s: Seconds for the examination.
        treat_s: Seconds for the treatment that follows; None for a run without one.
    """

    command: str
    what: str
    seed: int
    status: Literal["running", "interrupted", "finished"] = "running"
    train: bool = True
    trust: bool = False
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    budget_s: float = 45.0
    treat_s: float | None = None


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths inside one run folder."""

    path: Path

    @property
    def state(self) -> Path:
        """What the run wrote about itself."""
        return self.path / "run.json"

    @property
    def plan(self) -> Path:
        """The plan, which re-runs the same thing."""
        return self.path / "plan.toml"

    @property
    def network(self) -> Path:
        """The trained network with everything needed to load it."""
        return self.path / "network.safetensors"

    @property
    def history(self) -> Path:
        """The training history."""
        return self.path / "history.parquet"

    @property
    def json(self) -> Path:
        """The report as JSON."""
        return self.path / "report.json"


def new_folder(name: str, out: Path | None, *, root: Path | None = None) -> RunFolder:
    """Make and return an empty run folder: `out`, or `runs/<date>-<name>` with a number when that exists.

    Raises:
        FileExistsError: `out` exists and is not empty.
        OSError: The folder cannot be made or written; the message says where to write instead.
    """
    if out is not None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise FileExistsError(
                f"got --out {str(out)!r}, which exists and is not empty; expected a new or empty folder. "
                "Name another one, or go on with: equipoise run --resume DIR"
            )
        return _made(out)
    day = datetime.datetime.now().astimezone().date().isoformat()
    base = (root or Path("runs")) / f"{day}-{name}"
    candidates = (base if k == 1 else base.with_name(f"{base.name}-{k}") for k in range(1, 10_000))
    return _made(next(one for one in candidates if not one.exists()))


def open_folder(path: Path) -> RunFolder:
    """Return an existing run folder.

    Raises:
        FileNotFoundError: There is no run in that folder.
    """
    folder = RunFolder(path)
    if not (folder.plan.is_file() and folder.state.is_file()):
        raise FileNotFoundError(
            f"got {str(path)!r}, which holds no plan.toml and run.json; expected the folder of an earlier run. "
            "Name one, such as runs/<date>-digits."
        )
    return folder


def _made(path: Path) -> RunFolder:
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as problem:
        raise OSError(
            f"got the run folder {str(path)!r}, which cannot be written ({problem.strerror}); expected a folder to "
            "write to. Name another one with --out."
        ) from problem
    return RunFolder(path)
