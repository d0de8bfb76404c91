"""Asks: would another loss do better?"""

from equipoise.core.plan import Plan
from equipoise.core.recipe import Loss
from equipoise.core.signature import TaskKind
from equipoise.examine.choice.asking import HOW, LINES, VERDICTS, ChoiceQuestion
from equipoise.examine.choice.contest import Candidate
from equipoise.examine.question import Card
from equipoise.fit.fitted import Fit
from equipoise.fit.losses import SUITABLE, choose_loss

SMOOTHING = 0.1

ALIKE: dict[TaskKind, frozenset[Loss]] = {"binary": frozenset({"cross-entropy", "binary-cross-entropy"})}
"""Losses that are one and the same for a task."""


def candidates(fit: Fit) -> tuple[Candidate, ...]:
    """Return every other loss that suits the task, and for classes the own one with smoothed labels."""
    kind, own = fit.splits.signature.task.kind, choose_loss(fit.plan.recipe, fit.splits.signature.task.kind)
    same = ALIKE.get(kind, frozenset()) if own in ALIKE.get(kind, frozenset()) else frozenset({own})
    found = [_candidate(loss, fit.plan, loss) for loss in SUITABLE[kind] if loss not in same]
    if kind in ("binary", "multiclass", "sequence-labelling") and fit.plan.recipe.label_smoothing == 0:
        smoothed = fit.plan.replace(recipe__label_smoothing=SMOOTHING)
        found.append(Candidate(f"{own}, labels smoothed by {SMOOTHING:g}", ("",), (smoothed,)))
    return tuple(found)


def _candidate(name: str, plan: Plan, loss: Loss) -> Candidate:
    return Candidate(name, ("",), (plan.replace(recipe__loss=loss),))


LOSS_CHOICE = ChoiceQuestion(
    card=Card(
        id="loss-choice",
        theme="choice",
        title="Would another loss do better?",
        why=(
            "The loss is what is minimised, the score is what is wanted, and they are not the same: squared errors "
            "chase outliers, cross-entropy chases confidence on what is right already. Losses cannot be compared with "
            "each other, but the networks that they lead to can."
        ),
        how=f"Every loss that suits the task, all else as in the plan. {HOW}",
        verdicts=VERDICTS,
        may_help=("loss-pairing", "label-smoothing", "class-weights"),
        sources=(
            "T.-Y. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, Focal loss for dense object detection, ICCV 2017",
            "P. J. Huber, Robust estimation of a location parameter, Annals of Mathematical Statistics 1964",
            "R. Müller, S. Kornblith and G. Hinton, When does label smoothing help?, NeurIPS 2019",
        ),
        lines=LINES,
    ),
    candidates=candidates,
    own=lambda fit: choose_loss(fit.plan.recipe, fit.splits.signature.task.kind),
)
