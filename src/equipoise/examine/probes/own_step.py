"""`own-step`: does a step of the user's own loop run at all?"""

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.raised import NOT_WRITTEN
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Setup, restarted, take_step

NAME = "own-step"


@probe(NAME)
def own_step(setup: Setup) -> Symptom:
    """Take one step of the user's own loop on a fresh start; an exception is a diagnosis of its own."""
    if setup.step is None:
        raise InapplicableError("the loop is the plain one")
    state = restarted(setup)
    batch = sample(setup, setup.batch_size)
    try:
        take_step(setup, state, batch)
    except Exception as problem:  # whatever the user's loop raises
        first_line = (str(problem).splitlines() or [""])[0][:160]
        what = f"The loop's own step raises {type(problem).__name__} ({first_line})."
        if isinstance(problem, NOT_WRITTEN):
            cure = "Define it before the loop, for example criterion = nn.CrossEntropyLoss()."
            return _failed(f"{what} {cure}", ("loss", "loop.step"), {"loss_mismatch": 6.0})
        cure = "Bring outputs and targets to the shapes and types that it takes."
        return _failed(f"{what} {cure}", ("loop.step", "loss"), {"shape_broadcast": 3.5, "loss_mismatch": 2.0})
    return Symptom(name=NAME, verdict=Verdict.PASS, claim="A step of the own loop runs.")


def _failed(claim: str, where: tuple[str, ...], suggests: dict[str, float]) -> Symptom:
    return Symptom(name=NAME, verdict=Verdict.FAIL, claim=claim, where=where, suggests=suggests)
