"""Asks: would another activation do better?"""

from typing import get_args

from equipoise.core.network_plan import Activation, FamilyOptions, ForeignNetwork, RecurrentNetwork
from equipoise.core.plan import Plan
from equipoise.examine.choice.asking import HOW, LINES, VERDICTS, ChoiceQuestion
from equipoise.examine.choice.contest import Candidate
from equipoise.examine.question import Card, InapplicableError
from equipoise.fit.fitted import Fit

SURGERY = "activation:"
"""What swaps the activations of a network from elsewhere, before the name of the new one."""


def candidates(fit: Fit) -> tuple[Candidate, ...]:
    """Return every activation but the plan's own; in a network from elsewhere by surgery on its modules.

    Raises:
        InapplicableError: Gated cells, whose activations belong to them.
    """
    network, own = fit.plan.network, _own(fit)
    if isinstance(network, RecurrentNetwork) and network.cell != "plain":
        raise InapplicableError(f"the activations of {network.cell} cells belong to them, so there is none to choose")
    left_out = (own, "linear") if isinstance(network, ForeignNetwork) else (own,)
    return tuple(_candidate(fit.plan, name) for name in get_args(Activation) if name not in left_out)


def _candidate(plan: Plan, name: str) -> Candidate:
    if isinstance(plan.network, ForeignNetwork):
        kept = [one for one in plan.network.surgeries if not one.startswith(SURGERY)]
        return Candidate(name, ("",), (plan.replace(network__surgeries=[*kept, f"{SURGERY}{name}"]),))
    return Candidate(name, ("",), (plan.replace(network__activation=name),))


def _own(fit: Fit) -> str:
    network = fit.plan.network
    if isinstance(network, FamilyOptions):
        return network.activation
    swapped = [one.removeprefix(SURGERY) for one in getattr(network, "surgeries", ()) if one.startswith(SURGERY)]
    return swapped[-1] if swapped else "its own activations"


ACTIVATION_CHOICE = ChoiceQuestion(
    card=Card(
        id="activation-choice",
        theme="choice",
        title="Would another activation do better?",
        why=(
            "Activations are often inherited from a tutorial. Saturating ones slow deep networks down, rectifiers can "
            "die, smooth ones cost more; on small networks the differences are often smaller than those between seeds."
        ),
        how=f"ReLU, leaky ReLU, GELU, SiLU, tanh, sigmoid, ELU, SELU and none, all else as in the plan. {HOW}",
        verdicts=VERDICTS,
        may_help=("relu", "leaky-relu", "gelu", "silu", "tanh"),
        sources=(
            "P. Ramachandran, B. Zoph and Q. V. Le, Searching for activation functions, 2017, arXiv 1710.05941",
            "D. Hendrycks and K. Gimpel, Gaussian error linear units, 2016, arXiv 1606.08415",
        ),
        lines=LINES,
    ),
    candidates=candidates,
    own=_own,
)
