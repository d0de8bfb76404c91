"""`loss-shapes`: do outputs and targets meet in the loss one to one, or does it raise or broadcast?"""

import math

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.anatomy import trace
from equipoise.examine.probes.loss_behaviour import loss_behaviour
from equipoise.examine.probes.probe import probe
from equipoise.examine.probes.raised import Complaint, of_forward, of_loss
from equipoise.examine.probes.sampling import sample, targets_of
from equipoise.examine.probes.setup import Loss, Setup, restarted, running, take_step
from equipoise.examine.probes.task import task_of

NAME = "loss-shapes"
_ROWS = 16


@probe(NAME)
def loss_shapes(setup: Setup) -> Symptom:
    """Run one batch through network and loss and see what meets what.

    The loss broadcasts when spelling the broadcast out changes nothing; it matters when one sample's outputs are then
    pulled towards other samples' targets. An exception of the network or the loss is a diagnosis of its own.
    """
    network = running(setup).network
    n = len(setup.train[0])
    inputs, targets = sample(setup, min(setup.batch_size, _ROWS) if setup.batch_size > 1 else min(n, _ROWS))
    if len(setup.train[1]) != n:
        claim = f"There are {n} inputs but {len(setup.train[1])} targets. Give each input its target."
        return _failed(claim, ("targets",), {"wrong_labels": 5.0})
    try:
        outputs = network(inputs)
    except Exception as problem:  # whatever the user's network raises
        return _alone(problem) if _runs(network.eval(), inputs) else _of(of_forward(problem, network, inputs))
    where_last = trace(network, inputs).where_last()
    if setup.opaque or not isinstance(outputs, Tensor):
        return _of_structure(setup.loss, outputs, targets, where_last)
    if outputs.dim() == 0 or len(outputs) != len(inputs):
        if _takes(setup.loss, outputs, targets) and not _spelled_out(setup.loss, outputs, targets):
            return _of_structure(setup.loss, outputs, targets, where_last)
        got = f"{len(inputs)} samples give outputs of shape {tuple(outputs.shape)}"
        cure = "Keep the samples on the first axis, with x.flatten(1) in place of x.view(-1, ...)."
        return _failed(f"{got}. {cure}", ("loop.forward", where_last), {"batch_mixing": 5.0, "shape_broadcast": 2.0})
    try:
        value = torch.as_tensor(setup.loss(outputs, targets.clone()))
        targets = _with_extremes(setup, targets)
        setup.loss(outputs.detach(), targets.clone())
    except Exception as problem:  # whatever the user's loss raises
        return _of(of_loss(problem, setup.loss, outputs.detach(), targets, where_last))
    return _of_value(setup, value, outputs.detach(), targets, where_last)


def _of_structure(loss: Loss, outputs: object, targets: Tensor, where_last: str) -> Symptom:
    """Judge a loss of outputs or targets that it alone knows how to read."""
    said = f"outputs of shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
    try:
        value = torch.as_tensor(loss(outputs, targets))  # type: ignore[arg-type]
    except Exception as problem:  # whatever the user's loss raises
        first_line = (str(problem).splitlines() or [""])[0][:160]
        claim = f"The loss raises {type(problem).__name__} ({first_line}) on {said} from the network."
        suggests = {"loss_mismatch": 3.0, "shape_broadcast": 3.0}
        return _failed(f"{claim} Give it the parts that it takes.", ("loss", "targets"), suggests)
    return _of_number(value, said, where_last) or Symptom(
        name=NAME, verdict=Verdict.PASS, claim=f"The loss takes {said} from the network, and has a gradient."
    )


@torch.no_grad()
def _takes(loss: Loss, outputs: Tensor, targets: Tensor) -> bool:
    try:
        return math.isfinite(float(loss(outputs, targets.clone())))
    except Exception:  # whatever the user's loss raises
        return False


@torch.no_grad()
def _runs(network: nn.Module, inputs: Tensor) -> bool:
    try:
        network(inputs)
    except Exception:  # whatever the user's network raises
        return False
    return True


def _alone(problem: Exception) -> Symptom:
    """Return what it means that a network runs in evaluation mode alone: too few samples to normalise over."""
    first_line = (str(problem).splitlines() or [""])[0][:160]
    claim = f"The network raises {type(problem).__name__} ({first_line}) in training mode alone. Use larger batches."
    return _failed(claim, ("loop.batch_size",), {"batch_size_too_small": 5.0})


def _with_extremes(setup: Setup, targets: Tensor) -> Tensor:
    """Return targets whose first rows are replaced by those with the smallest and the largest target of all."""
    known = targets_of(setup)
    flat = known.detach().double().reshape(len(known), -1)
    changed = targets.clone()
    extremes = (int(flat.min(1).values.argmin()), int(flat.max(1).values.argmax()))
    for place, row in enumerate(extremes[: len(changed)]):
        changed[place] = known[row]
    return changed


def _of_value(setup: Setup, value: Tensor, outputs: Tensor, targets: Tensor, where_last: str) -> Symptom:
    shapes = f"outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)}"
    if value.numel() == 1 and not math.isfinite(float(value)):
        return _not_finite(float(value), outputs, shapes, where_last)
    broken = _of_number(value, shapes, where_last)
    if broken is not None:
        return broken
    task = task_of(outputs, targets_of(setup))
    behaviour = loss_behaviour(setup.loss, outputs, targets, task)
    if outputs.shape != targets.shape and _spelled_out(setup.loss, outputs, targets):
        if behaviour.mixes_samples and _own_loop_aligns(setup):
            claim = f"The loss would broadcast {shapes}, but the own loop brings them to one shape first."
            return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim)
        return _broadcast(setup.loss, outputs, targets, behaviour.mixes_samples)
    if behaviour.mixes_samples:
        claim = f"The loss of {shapes} pulls a sample's outputs towards other samples' targets."
        return Symptom(name=NAME, verdict=Verdict.WARN, claim=claim, where=("loss",), suggests={"batch_mixing": 2.5})
    return Symptom(name=NAME, verdict=Verdict.PASS, claim=f"The loss takes {shapes}, sample by sample.")


def _of_number(value: Tensor, what: str, where_last: str) -> Symptom | None:
    """Return what keeps a loss from being sent backward, if anything does."""
    if value.numel() != 1:
        claim = f"The loss of {what} has shape {tuple(value.shape)}; backward needs one number. Take its mean."
        return _failed(claim, ("loss",), {"loss_mismatch": 4.0})
    if not math.isfinite(float(value)):
        claim = f"The loss of {what} is {float(value)} before the first step: it is undefined there."
        return _failed(claim, ("loss", where_last), {"loss_mismatch": 3.5, "bad_initialization": 2.0})
    if not value.requires_grad:
        claim = f"The loss of {what} has no gradient. Remove detach(), no_grad(), argmax and conversions to numpy."
        return _failed(claim, ("loss", "loop.forward"), {"parameters_without_gradient": 6.0})
    return None


def _not_finite(value: float, outputs: Tensor, shapes: str, where_last: str) -> Symptom:
    if not bool(torch.isfinite(outputs).all()):
        claim = f"Outputs are not finite before the first step. The loss of {shapes} is {value}."
        faults = {"bad_initialization": 2.0, "unscaled_input": 2.0, "exploding_gradient": 1.5}
        return _failed(claim, ("inputs", where_last), faults)
    low, high = float(outputs.min()), float(outputs.max())
    claim = (
        f"The loss of {shapes} is {value} although outputs are finite, from {low:.3g} to {high:.3g}: it is undefined "
        "there. Use a loss on logits, which is defined everywhere."
    )
    return _failed(claim, ("loss", where_last), {"loss_mismatch": 3.5, "wrong_output_activation": 3.5})


@torch.no_grad()
def _spelled_out(loss: Loss, outputs: Tensor, targets: Tensor) -> bool:
    """Whether the loss stays the same when both are expanded to their common shape, for several outputs."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        drawn = torch.rand(outputs.shape, generator=generator).to(outputs) * 0.8 + 0.1
        try:
            wide = torch.broadcast_tensors(drawn, targets)
            torch.manual_seed(0)  # a loss may draw numbers of its own
            one = float(loss(drawn, targets))
            torch.manual_seed(0)
            other = float(loss(*wide))
        except Exception:  # shapes or types that do not broadcast
            return False
        if abs(one - other) > 1e-4 * max(abs(one), abs(other)):
            return False
    return True


def _own_loop_aligns(setup: Setup) -> bool:
    """Whether the user's own step returns the loss of matching shapes and not the one that broadcasts."""
    if setup.step is None or setup.begin is None:
        return False
    state = restarted(setup)
    inputs, targets = sample(setup, max(setup.batch_size, 2))
    torch.manual_seed(0)
    with torch.no_grad():
        outputs = state.network(inputs)
        wide, matched = float(setup.loss(outputs, targets)), float(setup.loss(outputs.reshape(targets.shape), targets))
    torch.manual_seed(0)
    told = float(take_step(setup, state, (inputs, targets)))
    return abs(told - matched) < 1e-4 * abs(matched) < 0.1 * abs(told - wide)


def _broadcast(loss: Loss, outputs: Tensor, targets: Tensor, mixes: bool) -> Symptom:
    common = tuple(torch.broadcast_shapes(outputs.shape, targets.shape))
    claim = f"Outputs {tuple(outputs.shape)} and targets {tuple(targets.shape)} broadcast to {common} in the loss"
    if outputs.numel() == targets.numel():
        if not mixes:
            return Symptom(name=NAME, verdict=Verdict.PASS, claim=f"{claim}, which changes nothing.")
        with torch.no_grad():
            one, other = float(loss(outputs, targets)), float(loss(outputs.reshape(targets.shape), targets))
        claim += f": it is {one:.4g} there and {other:.4g} with matching shapes"
        return _failed(f"{claim}. Give both one shape.", ("loss",), {"shape_broadcast": 8.0}, one=one, other=other)
    if not _compares_all(loss, outputs, targets):
        return Symptom(name=NAME, verdict=Verdict.PASS, claim="The loss picks from the targets what it compares.")
    claim += ": each output is compared with several targets, or each target with several outputs"
    cure = "Give the last layer as many units as there are targets, unless that is meant."
    # A quantile loss or a likelihood with a variance does so on purpose.
    faults = {"shape_broadcast": 2.5, "loss_mismatch": 1.0}
    where = ("loss", "targets")
    return Symptom(name=NAME, verdict=Verdict.WARN, claim=f"{claim}. {cure}", where=where, suggests=faults)


@torch.no_grad()
def _compares_all(loss: Loss, outputs: Tensor, targets: Tensor) -> bool:
    """Whether the loss looks at every one of the targets that a broadcast makes."""
    try:
        wide = [one.clone() for one in torch.broadcast_tensors(outputs, targets)]
        before = float(loss(*wide))
        flat = wide[1].reshape(len(wide[1]), -1)
        flat[:, 1:] = flat[:, 1:].roll(1, 0)
        after = float(loss(wide[0], flat.reshape(wide[1].shape)))
    except Exception:  # whatever the user's loss raises
        return True
    return abs(before - after) > 1e-6 * max(abs(before), 1e-12)


def _of(complaint: Complaint) -> Symptom:
    return _failed(complaint.sentence, complaint.where, complaint.suggests)


def _failed(
    claim: str, where: tuple[str, ...], suggests: dict[str, float], one: float | None = None, other: float | None = None
) -> Symptom:
    estimates: dict[str, Estimate] = {}
    if one is not None and other is not None:
        estimates = {"loss as it is": exact(one), "loss of matching shapes": exact(other)}
    return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=where, suggests=suggests, estimates=estimates)
