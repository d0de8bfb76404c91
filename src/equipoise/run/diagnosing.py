"""Diagnosing what the user names: a program, or the training that a plan describes."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from equipoise.core.complaint import nearest
from equipoise.core.diagnosis import Diagnosis
from equipoise.core.program_file import is_program, program_of
from equipoise.core.progress import Listener, Progress, silent
from equipoise.data.load import load
from equipoise.examine.diagnosis.diagnose import diagnose
from equipoise.examine.planned.program import Program, program_of_plan
from equipoise.examine.probes.setup import experiment
from equipoise.run.what import resolve

OURS = ("budget_s", "on_progress")
"""Arguments of `diagnose` that a program does not give."""
NEEDED = ("network", "loss", "optimizer", "train")


def diagnose_what(
    what: str,
    *,
    target: str | None = None,
    task: str | None = None,
    network: str | None = None,
    seed: int | None = None,
    trust: bool = False,
    budget_s: float = 60.0,
    on_progress: Listener = silent,
) -> Diagnosis:
    """Return what is wrong with the training that a name or a path stands for.

    Args:
        what: `file.py:function`, whose function returns the arguments of `equipoise.diagnose` by name; or whatever
            `equipoise run` takes, which is diagnosed as `fit` would train it.
        target: Column or array to predict, for bare data.
        task: The task, for bare data.
        network: A network to use instead of the plan's.
        seed: Replaces the plan's seed; for a program, seeds the global random states while it is made.
        trust: Whether code that the user names in files may be run.
        budget_s: Seconds for the diagnosis, about; reading the data comes on top.
        on_progress: Told how far it is.

    Raises:
        ValueError: Nothing of that name is known, or it cannot be diagnosed; the message says what to do.
        FileNotFoundError: A file that was named is not there.
    """
    if is_program(what):
        given = {"--target": target, "--task": task, "--network": network}
        for flag, value in given.items():
            if value is not None:
                raise ValueError(
                    f"got {flag} {value!r} with the program {what!r}; expected it only with a plan or data. Let the "
                    "function return what is to be diagnosed."
                )
        with experiment(0 if seed is None else seed):
            program = Program(checked(program_of(what, trust=trust), what))
    else:
        resolved = resolve(what, target=target, task=task, network=network, seed=seed, on_progress=on_progress)
        plan = resolved.plan
        splits = resolved.splits or load(plan.data, plan.seed, on_progress=on_progress)
        program = program_of_plan(plan, splits, trust=trust)
        on_progress(Progress("network", 1, 1, plan.network.family, finished=True))
    found = diagnose(**program.arguments, budget_s=budget_s, on_progress=on_progress)
    return found.replace(skipped=found.skipped | program.left_out)


def checked(arguments: Mapping[str, Any], origin: str) -> Mapping[str, Any]:
    """Return the arguments of `diagnose` that a program gave, or refuse them.

    Raises:
        ValueError: One is missing, unknown, or of another kind.
    """
    known = [name for name in inspect.signature(diagnose).parameters if name not in OURS]
    for name in arguments:
        if name in OURS:
            raise ValueError(
                f"{origin}: got the key {name!r}; expected only what describes the training. Leave it out, and say on "
                "the command line how long a diagnosis may take: --budget 2m."
            )
        if name not in known:
            raise ValueError(
                f"{origin}: got the key {name!r}; expected arguments of equipoise.diagnose. {nearest(name, known)} "
                "Correct it or leave it out."
            )
    missing = [name for name in NEEDED if name not in arguments]
    if missing:
        raise ValueError(
            f"{origin}: got no {', '.join(missing)}; expected at least {', '.join(NEEDED)}. Return them as well."
        )
    if not isinstance(arguments["network"], nn.Module):
        raise ValueError(
            f"{origin}: got a network of type {type(arguments['network']).__name__}; expected a torch.nn.Module. "
            "Return the module itself."
        )
    called = ("loss", "step", "begin", "evaluate")
    wrong = [name for name in called if arguments.get(name) is not None and not callable(arguments[name])]
    if not isinstance(arguments["optimizer"], torch.optim.Optimizer) and not callable(arguments["optimizer"]):
        wrong.append("optimizer")
    if wrong:
        kinds = ", ".join(f"{name} of type {type(arguments[name]).__name__}" for name in wrong)
        raise ValueError(
            f"{origin}: got {kinds}; expected functions (the optimizer may be a torch.optim.Optimizer). Return these."
        )
    return arguments
