"""`gradients-cleared`: does every step use the gradients since the last one, and no older ones?"""

import torch

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.examine.probes.optimizers import held
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample_batches
from equipoise.examine.probes.setup import Setup, restarted
from equipoise.examine.probes.stepping import Named, looks, take_steps

NAME = "gradients-cleared"
_CALLS, _WANTED = 40, 4


@probe(NAME)
def gradients_cleared(setup: Setup) -> Symptom:
    """Compare what the optimiser finds at its steps with what backward passes brought since the step before.

    Gradients at a step are split, by least squares, into those since the last step and those from before it. Adding up
    over several batches before one step is sound; a share of old gradients is not. Clipping and scaling change both.
    """
    if setup.step is None:
        return Symptom(
            name=NAME, verdict=Verdict.PASS, claim="The plain loop clears gradients before each backward pass."
        )
    state = restarted(setup)
    state.network.zero_grad(set_to_none=True)
    holds = held(state.optimizer)
    # Only what the optimiser holds can be its to clear.
    owned = {name for name, one in state.network.named_parameters() if id(one) in holds}
    older: Named = {}
    shares: list[float] = []
    batches = sample_batches(setup, _CALLS, size=setup.batch_size)
    for brought, found in looks(take_steps(setup, state, batches, _CALLS)):
        share = _share_of_old(found, brought, {name: older[name] for name in older.keys() & owned})
        if share is not None:
            shares.append(share)
        older = found
        if len(shares) >= _WANTED:
            break
    if not shares:
        raise InapplicableError("the loop took fewer than two optimiser steps with a gradient")
    middle = sorted(shares)[len(shares) // 2]
    estimates = {"share of old gradients": exact(middle, n=len(shares))}
    if middle < 0.1:
        claim = f"Gradients at {len(shares)} steps hold {middle:.1%} of those of earlier steps."
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    claim = (
        f"Gradients at {len(shares)} steps still hold {middle:.0%} of those of the step before. Call "
        "optimizer.zero_grad() before every backward pass that begins a step."
    )
    return Symptom(
        name=NAME,
        verdict=Verdict.FAIL,
        claim=claim,
        where=("loop.zero_grad",),
        suggests={"missing_zero_grad": 7.0},
        estimates=estimates,
    )


def _share_of_old(found: Named, since: Named, older: Named) -> float | None:
    """Return how much of the older gradients is in what was found, relative to the new ones; None without older."""
    names = [name for name in found if name in since and name in older]
    if not names:
        return None
    target, new, old = (torch.cat([one[name].double().flatten() for name in names]) for one in (found, since, older))
    if not bool(old.any()) or not bool(new.any()) or not bool(torch.isfinite(target).all()):
        return None
    if float((target - new).norm()) <= 1e-3 * float(new.norm()):
        return 0.0  # just what came since: where gradients repeat, the split below could not tell old from new
    solution = torch.linalg.lstsq(torch.stack([new, old], 1), target.unsqueeze(1)).solution.flatten()
    scale = max(float(solution[0].abs()), 1e-12)
    return max(0.0, float(solution[1])) / scale
