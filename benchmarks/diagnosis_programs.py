"""Faulty programs as a tool may see them: network, loss, optimiser, batches, loop, and nothing that says the answer.

A package of programs offers `build, start, train_step, predict, cases, healthy, controls, facts`. A `Subject` is one of
its programs without its id, its faults and its file; the program's own loop is behind `begin`, `step` and `evaluate`.
"""

import copy
import importlib
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Batch = tuple[Tensor, Tensor]

OFFERED = ("build", "start", "train_step", "predict", "cases", "healthy", "controls", "facts")
REMEMBERED_RUNS = 256
"""How many runs of a loop are kept apart at a time; the oldest is forgotten first."""

PLAIN_EVALUATION_BATCH = 512
"""Batch of the plain evaluation; a smaller one is the program's own."""

SHORTEST_ALLOWANCE_S = 20.0
SHARE_OF_TRAINING = 0.1


def load(folder: Path) -> ModuleType:
    """Import the package of programs: `folder` itself, or the one package inside it that offers programs.

    Raises:
        ValueError: There is no such package, or more than one.
    """
    folder = folder.resolve()
    if (folder / "__init__.py").is_file():
        found = [folder]
    else:
        found = sorted(one.parent for one in folder.glob("*/__init__.py") if (one.parent / "cases.json").is_file())
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "none"
        raise ValueError(
            f"got {folder} with these packages of programs: {names}; expected exactly one (a folder with __init__.py "
            "and cases.json). Give --programs the folder of the package itself."
        )
    sys.path.insert(0, str(found[0].parent))
    try:
        package = importlib.import_module(found[0].name)
    finally:
        sys.path.remove(str(found[0].parent))
    missing = [name for name in OFFERED if not hasattr(package, name)]
    if missing:
        raise ValueError(f"got {found[0]} without {', '.join(missing)}; expected {', '.join(OFFERED)}. Add them.")
    return package


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """One program as a tool sees it.

    Attributes:
        network, optimizer: As the program's own start left them, in the mode that its loop trains in.
        loss: Maps (outputs, targets) to a scalar; `loss_name` says what its author calls it.
        train, validation: Inputs and targets.
        begin, step, evaluate: The program's own loop; None where it is a plain one and `plain` was asked for.
        seed: Seed of the order of the rows and of dropout.
    """

    network: nn.Module
    loss: Callable[[Tensor, Tensor], Tensor]
    loss_name: str
    optimizer: Optimizer
    train: Batch
    validation: Batch | None
    batch_size: int
    epochs: int
    shuffle: bool
    begin: Callable[[], tuple[nn.Module, Optimizer]] | None
    step: Callable[[nn.Module, Optimizer, Batch], Tensor] | None
    evaluate: Callable[[nn.Module, Tensor], Tensor] | None
    seed: int


@dataclass(slots=True, eq=False)
class _Run:
    program: Any
    state: Any
    network: nn.Module
    optimizer: Optimizer


class Loop:
    """A program's own loop for any network and optimiser, also for copies that a tool has made.

    What the loop carries between steps belongs to the optimiser that it was begun with. An optimiser never seen before
    (a copy) carries a copy of what the run carries that was handed over.
    """

    def __init__(self, package: ModuleType, make: Callable[[], Any], seed: int) -> None:
        self._package, self._make = package, make
        self._runs: OrderedDict[int, _Run] = OrderedDict()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            self.handed = self._begun()

    def _begun(self) -> _Run:
        program = self._make()
        state = self._package.start(program)
        program.network.train(program.training_mode)
        return self._remembered(_Run(program, state, program.network, state.optimizer))

    def _remembered(self, run: _Run) -> _Run:
        self._runs[id(run.optimizer)] = run
        if len(self._runs) > REMEMBERED_RUNS:
            self._runs.popitem(last=False)
        return run

    def begin(self) -> tuple[nn.Module, Optimizer]:
        """Return a fresh network and optimiser of the same seed, in the mode that the loop trains in."""
        run = self._begun()
        return run.network, run.optimizer

    def step(self, network: nn.Module, optimizer: Optimizer, batch: Batch) -> Tensor:
        """Take one step of the program's own loop, right or wrong, and return the loss."""
        run = self._runs.get(id(optimizer))
        if run is None or run.optimizer is not optimizer:
            run = self._remembered(self._adopted(network, optimizer))
        if run.network is not network:
            run.network = run.program.network = network
        loss: Tensor = self._package.train_step(run.program, batch, run.state)
        return loss

    def evaluate(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """Return the outputs as the program's own evaluation makes them; the loop's mode is set again afterwards."""
        run = next((one for one in reversed(self._runs.values()) if one.network is network), None)
        program = copy.copy(self.handed.program) if run is None else run.program
        if run is None:
            program.network = network
        outputs: Tensor = self._package.predict(program, inputs)
        program.network.train(program.training_mode)
        return outputs

    def _adopted(self, network: nn.Module, optimizer: Optimizer) -> _Run:
        template = self.handed
        program = copy.copy(template.program)
        program.network = network
        same = {id(template.network): network, id(template.optimizer): optimizer}
        same |= {id(a): b for a, b in zip(template.network.parameters(), network.parameters(), strict=False)}
        state = copy.copy(template.state)
        state.optimizer, state.extra = optimizer, copy.deepcopy(template.state.extra, same)
        return _Run(program, state, network, optimizer)


def subject(package: ModuleType, case: str, version: str, seed: int, *, plain: bool = False) -> Subject:
    """Build a program and return what a tool may see of it.

    Args:
        package: What `load` returned.
        case: Id of the program.
        version: `faulty` or `fixed`.
        seed: Seed of the program.
        plain: Leave `begin`, `step` and `evaluate` out where the program has none of its own.
    """
    first = _nameless(package.build(case, version, seed))

    def make() -> Any:
        again = _nameless(package.build(case, version, seed))
        again.train, again.validation, again.test = first.train, first.validation, first.test  # always the same data
        return again

    loop = Loop(package, make, seed)
    own_loop = first.begin is not None or first.step is not None or not first.training_mode
    own_evaluation = not first.evaluation_mode or first.evaluation_batch < PLAIN_EVALUATION_BATCH
    with_loop, with_evaluation = own_loop or not plain, own_evaluation or not plain
    return Subject(
        network=loop.handed.network,
        loss=first.loss,
        loss_name=first.loss_name,
        optimizer=loop.handed.optimizer,
        train=first.train,
        validation=first.validation,
        batch_size=first.batch_size,
        epochs=first.epochs,
        shuffle=first.shuffle,
        begin=loop.begin if with_loop else None,
        step=loop.step if with_loop else None,
        evaluate=loop.evaluate if with_evaluation else None,
        seed=seed,
    )


def _nameless(program: Any) -> Any:
    return replace(program, case_id="", version="", faults=[], where="", notes="")


def allowance_s(package: ModuleType, case: str, version: str, seed: int) -> float:
    """Return how long a verdict may take: a tenth of the program's own training, and at least 20 s.

    Runs that were verified within their 25 s need no measuring; others are extrapolated from two seconds of steps.
    """
    runs = (package.facts().get(case, {}).get("verified_runs") or {}).get(version) or []
    if runs and not any(run["stopped_early"] for run in runs):
        return SHORTEST_ALLOWANCE_S
    return max(SHORTEST_ALLOWANCE_S, SHARE_OF_TRAINING * _training_seconds(subject(package, case, version, seed)))


def _training_seconds(given: Subject, patience_s: float = 2.0, warm_up: int = 3) -> float:
    assert given.begin is not None
    assert given.step is not None
    network, optimizer = given.begin()
    n = len(given.train[0])
    total = given.epochs * -(-n // given.batch_size)
    done, start = 0, time.perf_counter()
    while done < total and (done <= warm_up or time.perf_counter() - start < patience_s):
        low = done * given.batch_size % n
        high = low + given.batch_size
        given.step(network, optimizer, (given.train[0][low:high], given.train[1][low:high]))
        done += 1
        if done == warm_up:
            start = time.perf_counter()
    return total * (time.perf_counter() - start) / max(1, done - warm_up)
