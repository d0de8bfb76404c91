"""`own-step`: does a step of the user's own loop run at all?"""

import re
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Literal

import torch
from torch import nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.examine.probes.losses_heard import LossesHeard, Misfed
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.raised import NOT_WRITTEN, Complaint
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Running, Setup, number_told, restarted

NAME = "own-step"

Stage = Literal["forward", "loss", "backward", "step", "body"]
_TORCH = Path(torch.__file__).parent
_STAGES: tuple[tuple[str, Stage], ...] = (
    ("optim/", "step"),
    ("_tensor.py", "backward"),
    ("autograd/", "backward"),
    ("nn/modules/loss.py", "loss"),
    ("nn/functional.py", "loss"),
)
"""Files of PyTorch in which a stage of a step takes place, outside of the network."""
_WORDS: dict[Stage, str] = {
    "forward": "forward pass of the network",
    "loss": "loss",
    "backward": "backward pass",
    "step": "step of the optimiser",
    "body": "body of the loop",
}

_SHAPES = re.compile(r"shape|size|dimension|broadcast|mat1|expected input.*channels|out of (bounds|range)", re.I)
_TYPES = re.compile(r"dtype|scalar type|expected .*(Float|Long|Double)|not implemented for|cast", re.I)

_LOSSES = re.compile(r"loss|crit|entrop|mse|nll|objective", re.I)


@probe(NAME)
def own_step(setup: Setup) -> Symptom:
    """Take one step of the user's own loop on a fresh start; an exception is a diagnosis of its own.

    What it means follows from its kind, its words and the stage of the step that it was raised in. What PyTorch's
    losses are given inside of the step is looked at, too: it may be something else than what the network puts out.
    """
    if setup.step is None:
        raise InapplicableError("the loop is the plain one")
    state = restarted(setup)
    batch = sample(setup, setup.batch_size)
    network = state.network
    try:
        with LossesHeard(state.network) as heard:
            returned = setup.step(state.network, state.optimizer, batch)
    except Exception as problem:  # whatever the user's loop raises
        return _of(problem, Running(network, state.optimizer))
    if heard.found:
        return _misfed(list(heard.found.values()))
    if number_told(returned) is None:
        shape = f" of shape {tuple(returned.shape)}" if isinstance(returned, torch.Tensor) else ""
        claim = (
            f"A step of the own loop runs but returns {type(returned).__name__}{shape} and not one number; the loss "
            "after it stands in. Return loss.detach()."
        )
        return Symptom(name=NAME, verdict=Verdict.UNSURE, claim=claim, where=("loop.step",))
    return Symptom(name=NAME, verdict=Verdict.PASS, claim="A step of the own loop runs.")


def _misfed(found: list[Misfed]) -> Symptom:
    claim = " ".join(one.sentence for one in found)
    suggests: dict[str, float] = {}
    for one in found:
        suggests |= {fault: max(weight, suggests.get(fault, 0.0)) for fault, weight in one.suggests.items()}
    return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=("loss",), suggests=suggests)


def _of(problem: Exception, state: Running) -> Symptom:
    first_line = (str(problem).splitlines() or [""])[0][:160]
    stage = stage_of(problem, state.network)
    found = _complaint(problem, str(problem), stage)
    claim = f"The loop's own step raises {type(problem).__name__} ({first_line}) in the {_WORDS[stage]}."
    return Symptom(
        name=NAME,
        verdict=Verdict.FAIL,
        claim=f"{claim} {found.sentence}".rstrip(),
        where=found.where,
        suggests=found.suggests,
    )


def stage_of(problem: BaseException, network: nn.Module) -> Stage:
    """Return the stage of a step in which an exception was raised: the outermost one that it passed through.

    Args:
        problem: The exception, with its traceback.
        network: The network that the step was given.
    """
    parts = set(map(id, network.modules()))
    for frame in _frames(problem):
        if id(frame.f_locals.get("self")) in parts:
            return "forward"
        path = Path(frame.f_code.co_filename)
        inside = path.relative_to(_TORCH).as_posix() if path.is_relative_to(_TORCH) else ""
        for start, stage in _STAGES:
            if inside.startswith(start):
                return stage
    return "body"


def _frames(problem: BaseException) -> Iterator[FrameType]:
    trace = problem.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def _complaint(problem: Exception, words: str, stage: Stage) -> Complaint:
    """Return what an exception says is wrong; no fault where none that is known here fits."""
    if "can be implicitly created only for scalar outputs" in words:
        cure = "The loss is one number for each sample: take its mean, or leave out reduction='none'."
        return Complaint(cure, ("loss", "loop.backward"), {"loss_mismatch": 6.0})
    if "does not require grad" in words or (isinstance(problem, AttributeError) and "'backward'" in words):
        cure = "The loss has no graph to go back through: remove detach(), item(), no_grad() and numpy from its way."
        return Complaint(cure, ("loop.backward", "loop.forward"), {"parameters_without_gradient": 6.0})
    if "more than 1 value per channel" in words:
        cure = "Use larger batches, or leave out a last one of a single row."
        return Complaint(cure, ("loop.batch_size",), {"batch_size_too_small": 6.0})
    if "closure" in words and stage in ("step", "body") and isinstance(problem, TypeError):
        cure = "This optimiser takes several backward passes a step: give its step a closure, or use Adam."
        return Complaint(cure, ("loop.step", "optimizer.lr"), {"wrong_optimizer": 6.0})
    if isinstance(problem, NOT_WRITTEN):
        if stage == "loss" or _LOSSES.search(words):
            cure = "Define it before the loop, for example criterion = nn.CrossEntropyLoss()."
            return Complaint(cure, ("loss", "loop.step"), {"loss_mismatch": 6.0})
        return Complaint("Define it before it is used.", (_place(stage),), {})
    told = isinstance(problem, (RuntimeError, ValueError, IndexError, TypeError)) and stage != "step"
    if told and _TYPES.search(words):
        cure = "Bring what meets there to the types that it takes, for example with targets.long() or inputs.float()."
        return Complaint(cure, (_place(stage), "loss"), {"loss_mismatch": 4.0, "shape_broadcast": 1.0})
    if told and _SHAPES.search(words):
        cure = "Bring what meets there to the shapes that it takes."
        where = ("loop.forward", "inputs") if stage == "forward" else ("loss", "loop.step")
        return Complaint(cure, where, {"shape_broadcast": 5.0, "loss_mismatch": 1.0})
    if stage == "loss":
        return Complaint("Give the loss what it takes.", ("loss",), {"loss_mismatch": 4.0})
    return Complaint("", (_place(stage),), {})


def _place(stage: Stage) -> str:
    places = {"forward": "loop.forward", "loss": "loss", "backward": "loop.backward"}
    return places.get(stage, "loop.step")
