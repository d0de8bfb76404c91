"""What a process does that trains members of cohorts until whoever started it closes the line."""

import contextlib
import os
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from equipoise.core.plan import Plan
from equipoise.core.progress import Progress
from equipoise.core.stop import StopReason
from equipoise.data.samples import Splits
from equipoise.fit.cohorts.parcel import Parcel, pack_fit, unpack_splits
from equipoise.fit.fit import fit

READY = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Data to be kept, under a number, until `Forget`."""

    number: int
    parcel: Parcel


@dataclass(frozen=True, slots=True)
class Forget:
    """Data that are needed no more."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training.

    Attributes:
        plan, seed: What is trained.
        data: Number of its data.
        threads: Torch threads at most.
        folder: Where checkpoints go, if anywhere; what is there is gone on with.
        trust: Whether a foreign network's file may be unpickled.
    """

    plan: Plan
    seed: int
    data: int
    threads: int
    folder: Path | None
    trust: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """A training that ended with an error.

    Attributes:
        kind: `ValueError`, `OSError`, or the name of another error.
        said: Its message; of another error the whole trace.
    """

    kind: str
    said: str


def serve(line: Connection) -> None:
    """Carry out what comes along the line until it is closed."""
    held: dict[int, Splits] = {}
    line.send(READY)
    while True:
        try:
            message = line.recv()
        except EOFError:
            return
        match message:
            case Data():
                held[message.number] = unpack_splits(message.parcel)
            case Forget():
                held.pop(message.number, None)
            case Training():
                line.send(_trained(message, held[message.data], line))


def _trained(training: Training, splits: Splits, line: Connection) -> Parcel | Failed:
    torch.set_num_threads(training.threads)

    def tell(progress: Progress) -> None:
        try:
            line.send(progress)
        except OSError:  # nobody waits for this training any more
            os._exit(1)

    try:
        done = fit(
            training.plan,
            training.seed,
            splits=splits,
            folder=training.folder,
            resume=training.folder is not None,
            trust=training.trust,
            on_progress=tell,
        )
    except (ValueError, OSError) as problem:
        return Failed("ValueError" if isinstance(problem, ValueError) else "OSError", str(problem))
    except Exception as problem:
        return Failed(type(problem).__name__, traceback.format_exc())
    if done.stopped is StopReason.INTERRUPTED:
        os._exit(1)
    return pack_fit(done, splits)


def main(line: int) -> None:
    """Serve the line with this file number."""
    with Connection(line) as opened, contextlib.suppress(ConnectionError):  # whoever started it was killed
        serve(opened)
