"""A Ray cluster as an executor: the extra `ray`."""

import contextlib
import importlib
import importlib.util
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from equipoise.fit.executors.executor import Needs

ATTEMPTS = 3
"""How often a task is carried out again whose worker or machine was lost."""

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's switch, on any system, for a cluster of one machine whose parts talk over the loopback address alone."""

REACH_S = 5.0
"""Seconds within which a cluster must answer."""

QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
"""Ray reports nothing about its use."""


@dataclass(frozen=True, slots=True, eq=False)
class RayCluster:
    """The machines of a Ray cluster; made by `ray_cluster`.

    Equipoise must be installed on each of them in the same version. A task whose worker or machine is lost is carried
    out again on another one, up to `ATTEMPTS` times.

    Attributes:
        ray: The module, imported when asked for.
        address: Where the cluster is; empty for one that was started on this machine.
    """

    ray: Any
    address: str

    @property
    def name(self) -> str:
        """What it is, in a word or two."""
        return f"Ray at {self.address}" if self.address else "Ray on this machine"

    @property
    def slots(self) -> int:
        """How many cores the cluster has."""
        return max(1, int(self.ray.cluster_resources().get("CPU", 1)))

    def share(self, value: Any) -> Any:
        """Return a reference to a value that lies in the cluster's memory from now on."""
        return self.ray.put(value)

    def map(
        self,
        task: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        *,
        needs: Needs,
        on_done: Callable[[int, Any], None],
    ) -> list[Any]:
        """Return the result of each, in order; see `Executor`.

        Raises:
            Exception: What a task raised.
            RuntimeError: Workers were lost too often.
            ValueError: No machine of the cluster has what a task needs.
        """
        self._check(needs)
        remote = self.ray.remote(num_cpus=needs.cpus, num_gpus=needs.gpus, max_retries=ATTEMPTS)(task)
        positions = {remote.remote(*one): position for position, one in enumerate(arguments)}
        results: list[Any] = [None] * len(arguments)
        left = list(positions)
        try:
            while left:
                (done,), left = self.ray.wait(left)
                results[positions[done]] = self._result(done)
                on_done(positions[done], results[positions[done]])
        finally:
            for one in left:
                self.ray.cancel(one, force=True)
        return results

    def _check(self, needs: Needs) -> None:
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        if not any(node.get("CPU", 0) >= needs.cpus and node.get("GPU", 0) >= needs.gpus for node in nodes):
            had = "; ".join(f"{node.get('CPU', 0):g} cores and {node.get('GPU', 0):g} GPUs" for node in nodes)
            raise ValueError(
                f"got a cluster whose machines have {had}; expected one with {needs.cpus} cores and {needs.gpus} GPUs "
                "for a task. Add a machine, or set `recipe.threads` and `recipe.device`."
            )

    def _result(self, reference: Any) -> Any:
        errors = self.ray.exceptions
        try:
            return self.ray.get(reference)
        except errors.RayTaskError as problem:
            raise problem.cause from problem
        except errors.RayError as lost:
            raise RuntimeError(
                f"got a task whose worker was lost {ATTEMPTS + 1} times ({type(lost).__name__}); expected it to end. "
                "See the logs of the cluster; if memory ran out, give each task more cores: `recipe.threads`."
            ) from lost


@contextlib.contextmanager
def ray_cluster(address: str = "") -> Iterator[RayCluster]:
    """Connect to a Ray cluster, or start one on this machine, until this ends.

    Ray's report on its use, its dashboard and its log on the screen are off. What a cluster on this machine writes goes
    into a temporary folder of its own, which is removed at the end.

    Args:
        address: `host:port` of the head, or `auto` for the cluster of this machine; empty to start one.

    Raises:
        ModuleNotFoundError: Ray is not installed; the message names the extra.
        ConnectionError: There is no cluster at the address.
    """
    if importlib.util.find_spec("ray") is None:
        raise ModuleNotFoundError(
            "got --on ray without Ray installed; expected it. Install it: pip install 'equipoise[ray]'."
        )
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment(QUIET))
        if address not in ("", "auto"):
            _reach(address)
        if not address:
            # Not in the run folder: the path of a socket has room for a hundred characters only.
            own = tempfile.TemporaryDirectory(prefix="equipoise-ray-", ignore_cleanup_errors=True)
            folder = stack.enter_context(own)
            stack.enter_context(_environment({"RAY_TMPDIR": folder, **LOOPBACK}))
        ray = importlib.import_module("ray")
        options: dict[str, Any] = {"address": address}
        if not address:
            options = {"address": "local", "num_cpus": torch.get_num_threads(), "include_dashboard": False}
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except ConnectionError as problem:
            raise _no_cluster(address, str(problem)) from problem
        stack.callback(ray.shutdown)
        yield RayCluster(ray, address)


def _reach(address: str) -> None:
    """Refuse an address at which nobody answers, which Ray itself takes minutes to find out."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise _no_cluster(address, "it is not host:port")
    try:
        socket.create_connection((host, int(port)), REACH_S).close()
    except OSError as problem:
        raise _no_cluster(address, str(problem)) from problem


def _no_cluster(address: str, why: str) -> ConnectionError:
    return ConnectionError(
        f"got --on ray:{address}, where no Ray cluster answers ({why}); expected the head of a running one. Start it: "
        "ray start --head --port 6379, and name it: --on ray:HOST:6379; or leave the address out to start one here."
    )


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables of the environment for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
