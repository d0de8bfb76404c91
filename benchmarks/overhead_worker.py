"""Times contenders in a process of its own, told by a JSON line what to do: see `overhead.py`, which starts it."""

import gc
import importlib.util
import json
import sys
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from benchmarks.overhead_loops import LOOPS, MEMORY, OURS, Bench, Contender, Turn, rotate
from benchmarks.overhead_peers import PEERS

TURN_S = 0.2
"""How long a turn of a peer, and of the bare loop beside it, should take about; never fewer than two steps."""

SLOW = 10
"""A peer whose step costs this many times the bare step takes a third of the rounds."""


LEAST = 6
"""Fewest rounds of a measurement, however slow the machine."""


def measure_ours(loop: str, rounds: int, limit_s: float) -> dict[str, Any]:
    """Return the CPU seconds a step of bare, control and watched turns, round after round, until time is up."""
    began = time.perf_counter()
    bench, steps = Bench(LOOPS[loop]), LOOPS[loop].steps
    turns: dict[str, list[Turn]] = {name: [] for name in OURS}
    for contender in OURS.values():
        bench.turn(contender, max(10, steps // 8))  # imports, caches, lazily made tables
    for number in range(rounds):
        if number >= LEAST and time.perf_counter() - began > limit_s:
            break
        for name in rotate(list(OURS), number):
            turns[name].append(bench.turn(OURS[name], steps))
    wanted = turns["bare"][0].weights
    return {
        "steps_a_turn": steps,
        "cpu_s_a_step": {name: [one.cpu_s for one in row] for name, row in turns.items()},
        "same_weights": {name: all(one.weights == wanted for one in row) for name, row in turns.items()},
    }


def measure_peer(name: str, loop: str, rounds: int, limit_s: float, contender: Contender) -> dict[str, Any]:
    """Return the CPU seconds a step of a peer and of the bare loop in the same process, round after round."""
    began = time.perf_counter()
    bench, most = Bench(LOOPS[loop]), LOOPS[loop].steps
    both = {"bare": OURS["bare"], name: contender}
    every = {"bare": 1, name: 10 if name.endswith("tenth") else 1}
    first: dict[str, float] = {}
    for _ in range(2):  # the first is the warm-up: imports, caches
        first = {one: bench.turn(both[one], max(2, every[one])).cpu_s for one in both}
    steps = {one: min(most, max(2, every[one], round(TURN_S / first[one] / every[one]) * every[one])) for one in both}
    if first[name] > SLOW * first["bare"]:
        rounds = max(LEAST, rounds // 3)
    times: dict[str, list[float]] = {one: [] for one in both}
    for number in range(rounds):
        if number >= LEAST and time.perf_counter() - began > limit_s:
            break
        for one in rotate(list(both), number):
            times[one].append(bench.turn(both[one], steps[one]).cpu_s)
    return {"steps_a_turn": steps, "cpu_s_a_step": times}


def measure_memory(loop: str, contender: Contender) -> dict[str, Any]:
    """Return the largest resident size of this process in bytes, after training for a window or more."""
    steps = max(LOOPS[loop].steps, 70 if LOOPS[loop].by_default else 10)
    before = _peak_bytes()
    Bench(LOOPS[loop]).turn(contender, steps)
    return {"steps": steps, "peak_bytes": _peak_bytes(), "before_bytes": before}


def _peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("got no VmHWM in /proc/self/status; expected Linux's line. Run the memory part on Linux.")


def peers(task: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured of one peer on every loop and number of threads, or why it was not."""
    peer = PEERS[task["peer"]]
    if importlib.util.find_spec(peer.module) is None:
        return {"not_installed": peer.package}
    done: dict[str, Any] = {}
    with ExitStack() as stack:
        contender = peer.prepare(stack)
        for threads in task["threads"]:
            torch.set_num_threads(threads)
            for loop in task["loops"]:
                try:
                    done[f"{loop} {threads}"] = measure_peer(
                        task["peer"], loop, task["rounds"], task["limit_s"], contender
                    )
                except Exception as problem:  # a peer may break on a network; that is a result
                    done[f"{loop} {threads}"] = {"failed": f"{type(problem).__name__}: {problem}".splitlines()[0][:300]}
    return done


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Do one task: `ours`, `memory` or `peers`."""
    if task["what"] == "peers":
        return peers(task)
    torch.set_num_threads(task["threads"])
    if task["what"] == "memory":
        return measure_memory(task["loop"], MEMORY[task["contender"]])
    return measure_ours(task["loop"], task["rounds"], task["limit_s"])


def main() -> None:
    """Read the task from the first argument, do it, write the result to the file of the second."""
    task, out = json.loads(sys.argv[1]), Path(sys.argv[2])
    warnings.simplefilter("ignore")
    gc.freeze()  # what the imports left need not be looked through before each turn
    began = time.perf_counter()
    result = work(task)
    result["took_s"] = round(time.perf_counter() - began, 1)
    out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
