"""`parameters-move`: does everything that is to be trained belong to the optimiser, and move when a step is taken?"""

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.examine.probes.optimizers import held
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample, sample_batches
from equipoise.examine.probes.setup import Running, Setup, restarted
from equipoise.examine.probes.stepping import Taken, take_steps

NAME = "parameters-move"
_STEPS = 20
_ROUNDING = 1e-6


@probe(NAME)
def parameters_move(setup: Setup) -> Symptom:
    """Take steps of the training's own loop until every parameter with a gradient has moved, at most 20.

    Gradients are noted as they arrive, so that clearing them before the optimiser sees them is found out.
    """
    state = restarted(setup)
    steps: list[Taken] = []
    moved: set[str] = set()
    for taken in take_steps(setup, state, sample_batches(setup, _STEPS, size=setup.batch_size), _STEPS):
        steps.append(taken)
        moved |= set(taken.moved())
        if len(steps) > 1 and _with_gradient(steps) <= moved:
            break
    pulled = _with_gradient(steps)
    unpulled = _only_in_a_plain_loop(setup, pulled | moved) if setup.step is not None else []
    if unpulled:
        return _cut(unpulled, len(steps[0].before), len(steps))
    if not pulled:
        raise InapplicableError("no gradient arrived at any parameter; `gradient-reach` tells why")
    still = [name for name in steps[0].before if name in pulled and name not in moved]
    share = exact(1 - len(still) / len(pulled), n=len(pulled))
    if not still:
        claim = f"All {len(pulled)} parameters with a gradient moved within {len(steps)} steps."
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates={"share moved": share})
    claim, where, suggests = _reason(state, steps, still, pulled)
    return Symptom(
        name=NAME, verdict=Verdict.FAIL, claim=claim, where=where, suggests=suggests, estimates={"share moved": share}
    )


def _with_gradient(steps: list[Taken]) -> set[str]:
    """Return the parameters whose gradient is more than rounding; a bias before a normalisation has no other."""
    sizes: dict[str, float] = {}
    for taken in steps:
        for name, gradient in taken.fresh.items():
            sizes[name] = max(sizes.get(name, 0.0), float(gradient.double().square().mean().sqrt()))
    largest = max(sizes.values(), default=0.0)
    return {name for name, size in sizes.items() if size > _ROUNDING * largest}


def _only_in_a_plain_loop(setup: Setup, reached: set[str]) -> list[str]:
    """Return the parameters that a plain backward pass reaches and the own loop neither reaches nor moves."""
    network = restarted(setup).network
    network.zero_grad(set_to_none=True)
    inputs, targets = sample(setup, max(setup.batch_size, 2))
    try:
        setup.loss(network(inputs), targets).backward()
    except Exception:  # the own loop may feed the network in a way of its own
        return []
    gradients = {name: one.grad for name, one in network.named_parameters() if one.grad is not None}
    largest = max((float(one.norm()) for one in gradients.values()), default=0.0)
    return [
        name for name, one in gradients.items() if name not in reached and float(one.norm()) > _ROUNDING * largest > 0
    ]


def _cut(unpulled: list[str], many: int, taken: int) -> Symptom:
    which = f"{len(unpulled)} of {many} parameters ({_listed(unpulled)})"
    began = f"{which} get no gradient and do not move in {taken} steps of the own loop"
    if len(unpulled) == many:
        claim = (
            f"{began}: it trains something else than the network it is given. Make parameters once, before the loop."
        )
        suggests = {"parameters_not_updated": 6.0, "parameters_without_gradient": 4.0}
        return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=("loop.step",), suggests=suggests)
    claim = f"{began}, though a plain loop's loss reaches them. Remove detach() and no_grad() from the loop."
    suggests = {"parameters_without_gradient": 5.0, "parameters_not_updated": 2.0}
    layers = dict.fromkeys(f"layer:{name.rpartition('.')[0] or name}" for name in unpulled)
    return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=("loop.forward", *layers), suggests=suggests)


def _reason(
    state: Running, steps: list[Taken], still: list[str], pulled: set[str]
) -> tuple[str, tuple[str, ...], dict[str, float]]:
    began = f"{len(still)} of {len(pulled)} parameters ({_listed(still)}) did not move in {len(steps)} steps"
    holds = held(state.optimizer)
    missing = [name for name in still if id(state.network.get_parameter(name)) not in holds]
    if missing:
        if len(missing) == len(pulled):
            what = "the optimiser holds none of the network's parameters, but others"
        else:
            what = f"the optimiser does not hold {len(missing)} of them"
        claim = f"{began}: {what}. Make it of network.parameters(), after the network is made."
        return claim, ("optimizer.params",), {"parameters_not_updated": 6.5 if _not_a_front(missing, steps) else 4.0}
    if not any(taken.at_steps for taken in steps):
        claim = f"{began}: optimizer.step() was not called. Call it after backward()."
        return claim, ("loop.step",), {"parameters_not_updated": 7.0}
    found = [gradients for taken in steps for gradients in taken.at_steps]
    if not any(name in one and bool(one[name].any()) for one in found for name in still):
        claim = (
            f"{began}: their gradients arrived but were gone when optimizer.step() was called. Call "
            "optimizer.zero_grad() before backward(), not between backward() and step()."
        )
        return claim, ("loop.zero_grad", "loop.step"), {"parameters_not_updated": 7.0}
    rates = sorted({float(group["lr"]) for group in state.optimizer.param_groups})
    claim = (
        f"{began}, though the optimiser has them and their gradients: the learning rate {rates} moves them by nothing."
    )
    return claim, ("optimizer.lr", "loop.step"), {"lr_too_low": 4.0, "parameters_not_updated": 4.0}


def _not_a_front(missing: list[str], steps: list[Taken]) -> bool:
    """Whether what the optimiser lacks is anything but whole layers at the front, as a deliberate choice would be."""
    names = list(steps[0].before)
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    without = {name.rpartition(".")[0] for name in missing}
    whole = all(name in missing for name in names if name.rpartition(".")[0] in without)
    return not (whole and without == set(layers[: len(without)]) and len(without) < len(layers))


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
