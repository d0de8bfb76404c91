"""Asks: would another optimiser do better?"""

from equipoise.core.plan import Plan
from equipoise.core.recipe import Optimizer
from equipoise.examine.choice.asking import HOW, LINES, VERDICTS, ChoiceQuestion
from equipoise.examine.choice.contest import Candidate
from equipoise.examine.question import Card
from equipoise.fit.fitted import Fit
from equipoise.fit.optimizers import MOMENTUM

RATES: dict[Optimizer, tuple[float, ...]] = {
    "gradient-descent": (0.1, 0.3, 1.0),
    "sgd": (0.03, 0.1, 0.3),
    "momentum": (0.01, 0.03, 0.1),
    "nesterov": (0.01, 0.03, 0.1),
    "rmsprop": (3e-4, 1e-3, 3e-3),
    "adam": (1e-3, 3e-3, 1e-2),
    "adamw": (1e-3, 3e-3, 1e-2),
    "lion": (1e-4, 3e-4, 1e-3),
    "muon": (1e-3, 3e-3, 1e-2),
    "schedule-free": (1e-3, 3e-3, 1e-2),
}
"""Peak learning rates that each optimiser is tried at: as many for each, half a decade apart."""


def with_optimizer(plan: Plan, optimizer: Optimizer, rate: float) -> Plan:
    """Return a plan with another optimiser at a rate; what belongs to the old one alone is dropped."""
    changes: dict[str, object] = {"recipe__optimizer": optimizer, "recipe__learning_rate": rate}
    if optimizer != plan.recipe.optimizer or optimizer not in MOMENTUM:
        changes["recipe__momentum"] = None
    if optimizer == "schedule-free":
        changes |= {"recipe__schedule": "constant", "recipe__weight_averaging": "none"}
    if optimizer == "gradient-descent":
        changes["recipe__accumulate"] = 1
    return plan.replace(**changes)


def candidates(fit: Fit) -> tuple[Candidate, ...]:
    """Return every optimiser at its rates; the plan's own also at the plan's rate."""
    plan = fit.plan
    found: list[Candidate] = []
    for optimizer, rates in RATES.items():
        own = (plan.recipe.learning_rate,) if optimizer == plan.recipe.optimizer else ()
        tried = tuple(dict.fromkeys((*own, *rates)))
        plans = tuple(with_optimizer(plan, optimizer, rate) for rate in tried)
        found.append(Candidate(optimizer, tuple(f"rate {rate:g}" for rate in tried), plans))
    return tuple(found)


OPTIMIZER_CHOICE = ChoiceQuestion(
    card=Card(
        id="optimizer-choice",
        theme="choice",
        title="Would another optimiser do better?",
        why=(
            "Which optimiser is best depends on the network, the data and above all on the learning rate that each was "
            "given. Comparisons that tune one and not the other, or that show one seed, recommend whatever their "
            "author began with."
        ),
        how=f"Ten optimisers, each at three rates half a decade apart. {HOW}",
        verdicts=VERDICTS,
        may_help=("learning-rate-search", *RATES),
        sources=(
            "R. M. Schmidt, F. Schneider and P. Hennig, Descending through a crowded valley, ICML 2021",
            "D. Choi et al., On empirical comparisons of optimizers for deep learning, 2019, arXiv 1910.05446",
            "R. A. Fisher, The Design of Experiments, 1935 (sign-flip test)",
        ),
        lines=LINES,
    ),
    candidates=candidates,
    own=lambda fit: f"{fit.plan.recipe.optimizer} at {fit.plan.recipe.learning_rate:g}",
)
