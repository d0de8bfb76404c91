"""Who carries out many tasks: this process, or the machines of a cluster."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one task takes of a machine.

    Attributes:
        cpus: Cores.
        gpus: GPUs.
    """

    cpus: int = 1
    gpus: int = 0


class Executor(Protocol):
    """Carries out independent tasks."""

    @property
    def name(self) -> str:
        """What it is, in a word or two."""

    @property
    def slots(self) -> int:
        """How many cores there are for tasks."""

    def share(self, value: Any) -> Any:
        """Return what stands for a value among the arguments of many tasks, so that it travels once.

        Args:
            value: Plain values and bytes.
        """

    def map(
        self,
        task: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        *,
        needs: Needs,
        on_done: Callable[[int, Any], None],
    ) -> list[Any]:
        """Return what a task returns for each of several arguments, in their order.

        A task whose machine is lost is carried out again, so it must change nothing that others see. The first error
        ends all others.

        Args:
            task: A function that can be imported where it runs; it takes and returns plain values and bytes.
            arguments: The arguments of each.
            needs: What each takes.
            on_done: Told position and result of each, as it is done.

        Raises:
            Exception: What a task raised.
            RuntimeError: Machines were lost too often.
        """


@dataclass(frozen=True, slots=True)
class Here:
    """This process: one task after another."""

    name: str = "this process"
    slots: int = 1

    def share(self, value: Any) -> Any:
        """Return the value."""
        return value

    def map(
        self,
        task: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        *,
        needs: Needs,  # noqa: ARG002 - this machine is what it is
        on_done: Callable[[int, Any], None],
    ) -> list[Any]:
        """Return the result of each, in order."""
        results: list[Any] = []
        for position, one in enumerate(arguments):
            results.append(task(*one))
            on_done(position, results[-1])
        return results


_IN_FORCE: ContextVar[Executor | None] = ContextVar("executor", default=None)


def executor_in_force() -> Executor | None:
    """Return who carries out cohorts and questions just now; None for the usual way on this machine."""
    return _IN_FORCE.get()


@contextlib.contextmanager
def carried_out_on(executor: Executor) -> Iterator[None]:
    """Let an executor carry out cohorts (and so trials and ensembles) and questions for a while.

    Args:
        executor: Who.
    """
    token = _IN_FORCE.set(executor)
    try:
        yield
    finally:
        _IN_FORCE.reset(token)
