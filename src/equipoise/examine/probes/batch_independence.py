"""`batch-independence`: does a sample's output depend on the other samples of its batch?"""

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.examine.probes.anatomy import Trace, trace
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Setup, running
from equipoise.networks.foreign import first_tensor

NAME = "batch-independence"
_ROWS, _TRIALS, _TOLERANCE = 8, 8, 1e-4


@probe(NAME)
@torch.no_grad()
def batch_independence(setup: Setup) -> Symptom:
    """Replace one sample of a batch by another, in evaluation mode, and see whether the others' outputs change.

    In training mode, batch normalisation ties samples together by design; in evaluation mode nothing should.
    """
    if len(setup.train[0]) < 3:
        raise InapplicableError("there are fewer than three samples")
    network = running(setup).network.eval()
    rows = min(_ROWS, len(setup.train[0]) - 1)
    inputs, _ = sample(setup, rows + 1)
    batch, spare = inputs[:rows], inputs[rows]
    torch.manual_seed(0)
    outputs = first_tensor(network(batch))
    if len(outputs) != rows:
        raise InapplicableError(f"{rows} samples give {len(outputs)} outputs; see `loss-shapes`")
    torch.manual_seed(0)
    again = first_tensor(network(batch))
    noise = float((again - outputs).abs().max())
    changes = [_change(network, batch, spare, k % rows, outputs) for k in range(_TRIALS)]
    worst = max(changes)
    share = exact(sum(one > _TOLERANCE for one in changes) / _TRIALS, n=_TRIALS)
    estimates = {"share of trials": share, "largest change": exact(worst, n=_TRIALS)}
    if worst <= _TOLERANCE or noise > 0:
        claim = f"Replacing a sample changed other samples' outputs by {worst:.1g} of their spread in {_TRIALS} trials."
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    where = _first_mixed(network, batch, spare)
    claim = (
        f"Replacing one sample changed the outputs of others by up to {worst:.2g} of their spread, in "
        f"{share.value:.0%} of {_TRIALS} trials, in evaluation mode. Work along the feature axis, not along the "
        "samples."
    )
    weights = {"batch_mixing": 7.0}
    return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=where, suggests=weights, estimates=estimates)


def _change(network: nn.Module, batch: Tensor, spare: Tensor, row: int, outputs: Tensor) -> float:
    changed = batch.clone()
    changed[row] = spare
    torch.manual_seed(0)
    now = first_tensor(network(changed))
    others = [k for k in range(len(batch)) if k != row]
    scale = float(outputs.std()) or float(outputs.abs().max()) or 1.0
    return float((now[others] - outputs[others]).abs().max()) / scale


def _first_mixed(network: nn.Module, batch: Tensor, spare: Tensor) -> tuple[str, ...]:
    """Return the place of the first module whose outputs for one sample follow another sample."""
    changed = batch.clone()
    changed[0] = spare
    torch.manual_seed(0)
    before = trace(network, batch)
    torch.manual_seed(0)
    after = trace(network, changed)
    for one, other in zip(before.calls, after.calls, strict=False):
        if _others_differ(one.outputs, other.outputs, len(batch)):
            return (f"layer:{one.name}",)
    return (_ending(before),)


def _ending(seen: Trace) -> str:
    return "loop.forward" if not seen.calls else seen.where_last()


def _others_differ(one: Tensor | None, other: Tensor | None, rows: int) -> bool:
    if one is None or other is None or one.shape != other.shape or one.dim() == 0 or len(one) != rows:
        return False
    scale = float(one.double().std()) or 1.0
    return float((one[1:] - other[1:]).abs().max()) > _TOLERANCE * scale
