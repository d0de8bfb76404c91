"""Asks: would another family of networks do better?"""

from equipoise.core.network_plan import (
    ConvolutionalNetwork,
    DenseNetwork,
    FamilyOptions,
    NetworkPlan,
    RecurrentNetwork,
    ResidualNetwork,
    TransformerNetwork,
    VggNetwork,
)
from equipoise.core.plan import Plan
from equipoise.examine.choice.asking import HOW, LINES, VERDICTS, ChoiceQuestion
from equipoise.examine.choice.contest import Candidate
from equipoise.examine.question import Card
from equipoise.fit.fitted import Fit

FAMILIES: dict[str, NetworkPlan] = {
    "dense": DenseNetwork(),
    "convolutional": ConvolutionalNetwork(),
    "VGG": VggNetwork(),
    "residual": ResidualNetwork(),
    "recurrent": RecurrentNetwork(cell="plain"),
    "LSTM": RecurrentNetwork(cell="lstm"),
    "GRU": RecurrentNetwork(cell="gru"),
    "transformer": TransformerNetwork(),
}
"""Each family as it comes."""

RATES = (1e-3, 3e-3, 1e-2)
"""Learning rates that each family is tried at, besides the plan's own."""


def candidates(fit: Fit) -> tuple[Candidate, ...]:
    """Return every family with its own defaults, at the plan's learning rate and a few others."""
    return tuple(_candidate(fit.plan, name, network) for name, network in FAMILIES.items())


def _candidate(plan: Plan, name: str, network: NetworkPlan) -> Candidate:
    if isinstance(network, FamilyOptions) and isinstance(plan.network, FamilyOptions):
        network = network.replace(standardise=plan.network.standardise)
    adaptive = plan.recipe.optimizer in ("adam", "adamw", "schedule-free", "muon")
    rates = tuple(dict.fromkeys((plan.recipe.learning_rate, *(RATES if adaptive else ()))))
    plans = tuple(plan.replace(network=network, recipe__learning_rate=rate) for rate in rates)
    return Candidate(name, tuple(f"rate {rate:g}" for rate in rates), plans)


def _own(fit: Fit) -> str:
    network = fit.plan.network
    return f"{network.family} ({network.cell})" if isinstance(network, RecurrentNetwork) else network.family


ARCHITECTURE_CHOICE = ChoiceQuestion(
    card=Card(
        id="architecture-choice",
        theme="choice",
        title="Would another family of networks do better?",
        why=(
            "A family carries assumptions about the data: neighbouring pixels belong together, the past explains the "
            "future, everything may matter to everything. Where they hold they are worth more than any tuning, and "
            "where they do not a plain dense network is cheaper and as good."
        ),
        how=(
            "Dense, convolutional, VGG, residual, recurrent, LSTM, GRU and transformer networks, where the data allow, "
            f"each with its own defaults and at a few learning rates. {HOW}"
        ),
        verdicts=VERDICTS,
        may_help=("residual-links", "lstm", "gru", "capacity-up", "capacity-down"),
        sources=(
            "K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink and J. Schmidhuber, LSTM: a search space "
            "odyssey, TNNLS 2017",
            "K. He, X. Zhang, S. Ren and J. Sun, Deep residual learning for image recognition, CVPR 2016",
            "A. Vaswani et al., Attention is all you need, NeurIPS 2017",
        ),
        lines=LINES,
    ),
    candidates=candidates,
    own=_own,
    equal_cost=True,
)
