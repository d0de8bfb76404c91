"""The option `--on`: where the work is done."""

import contextlib
import logging
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equipoise.fit.way import Way


@dataclass(frozen=True, slots=True)
class Place:
    """Where the work is done.

    Attributes:
        ray: Address of a Ray cluster, empty to start one on this machine; None for none.
        ranks: Processes that train one network together; 0 for one.
    """

    ray: str | None = None
    ranks: int = 0


def place(text: str | None) -> Place:
    """Return what `--on` says.

    Raises:
        ValueError: It says something else.
    """
    if text is None:
        return Place()
    kind, _, rest = text.partition(":")
    if kind == "ray":
        return Place(ray=rest)
    if kind == "torchrun" and rest.isdigit() and int(rest) > 0:
        return Place(ranks=int(rest))
    raise ValueError(
        f"got --on {text!r}; expected ray, ray:HOST:PORT or torchrun:N. Use one of these, or leave it out to work in "
        "this process."
    )


def is_rank() -> bool:
    """Return whether `torchrun` started this process as one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def start_ranks(count: int, arguments: Sequence[str]) -> int:
    """Start so many ranks on this machine, each with the same command line less `--on`; return the exit code.

    Args:
        count: How many.
        arguments: The command line without the program's name.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)  # said below
    with tempfile.TemporaryDirectory(prefix="equipoise-ranks-") as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            run_id=uuid.uuid4().hex,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "equipoise", *without_on(arguments))
        except ChildFailedError as problem:
            return said_of({number: failure.exitcode for number, failure in problem.failures.items()}, count)
        except SignalException:
            raise KeyboardInterrupt from None
    return 0


def said_of(codes: dict[int, int], count: int) -> int:
    """Say which ranks were killed, since they could not say it, and return the exit code of all.

    Args:
        codes: Exit code by rank, of those that failed.
        count: How many ranks there were.
    """
    killed = {number: code for number, code in codes.items() if code < 0}
    for number, code in killed.items():
        print(
            f"equipoise: rank {number} of {count} was ended by signal {-code}, and so were the others; what was "
            "written stays. Go on with any number of ranks, or without --on: equipoise run --resume DIR",
            file=sys.stderr,
        )
    return 1 if killed else max(codes.values())


def without_on(arguments: Sequence[str]) -> list[str]:
    """Return a command line without the option `--on` and its value."""
    kept: list[str] = []
    skip = False
    for one in arguments:
        if not skip and one != "--on" and not one.startswith("--on="):
            kept.append(one)
        skip = one == "--on" and not skip
    return kept


@contextlib.contextmanager
def way_to_train(*, sharded: bool) -> Iterator["Way"]:
    """Join the other ranks where `torchrun` started this process.

    Raises:
        ValueError: Weights are to be divided and this process is alone.
    """
    if not is_rank():
        if sharded:
            raise ValueError(
                "got --shard in a process of its own; expected ranks among which weights are divided. Add --on "
                "torchrun:2, or start it with torchrun."
            )
        from equipoise.fit.way import ALONE

        yield ALONE
        return
    from equipoise.fit.ranks.ranks import joined
    from equipoise.fit.ranks.spread import ByRanks

    with joined(sharded=sharded) as ranks:
        yield ByRanks(ranks)


@contextlib.contextmanager
def on_cluster(where: Place) -> Iterator[None]:
    """Let a Ray cluster carry out cohorts and questions, where one was named.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: There is no cluster at the address.
    """
    if where.ray is None:
        yield
        return
    from equipoise.fit.executors.executor import carried_out_on
    from equipoise.fit.executors.ray_cluster import ray_cluster

    with ray_cluster(where.ray) as cluster, carried_out_on(cluster):
        yield
