"""`loss-pairing`: do the last activation, the loss and the targets go together?"""

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.examine.probes.contract import Contract, contract
from equipoise.examine.probes.pairing import mismatches
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.setup import Setup

NAME = "loss-pairing"


@probe(NAME)
def loss_pairing(setup: Setup) -> Symptom:
    """Find out what outputs can be, what the loss wants and what the targets are, and compare.

    Outputs are judged by what they are under many changes of weights and inputs, the loss by its values on outputs made
    up for the purpose, the task by its targets: names and source code are never looked at.
    """
    given = contract(setup)
    try:
        if given.task.kind != "opaque":
            setup.loss(given.outputs, given.targets)
    except Exception as problem:  # whatever the user's loss raises
        raise InapplicableError(
            f"the loss raises {type(problem).__name__}; `loss-shapes` says what to change"
        ) from None
    found = mismatches(given)
    if not found:
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=_in_order(given))
    suggests: dict[str, float] = {}
    for one in found:
        for fault, weight in one.suggests.items():
            suggests[fault] = max(weight, suggests.get(fault, 0.0))
    return Symptom(
        name=NAME,
        verdict=max((one.verdict for one in found), key=lambda verdict: verdict.severity),
        claim=" ".join(one.sentence for one in found),
        where=tuple(dict.fromkeys(place for one in found for place in one.where)),
        suggests=suggests,
    )


def _in_order(given: Contract) -> str:
    if given.task.kind == "opaque":
        return "The loss reads outputs and targets in a way of its own; nothing that can be seen contradicts it."
    loss = f"a loss of {given.loss.accepts}" if given.loss.form == "unknown" else given.loss.form
    return f"Outputs ({given.end.kind}), loss ({loss}) and targets ({given.task.kind}) go together."
