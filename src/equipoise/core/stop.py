"""Why a training stopped, with what the reader should make of it."""

from enum import StrEnum


class StopReason(StrEnum):
    """Why a training stopped; `help` explains it."""

    FINISHED = "finished"
    NO_IMPROVEMENT = "no-improvement"
    TARGET_REACHED = "target-reached"
    TIME_BUDGET = "time-budget"
    INTERRUPTED = "interrupted"
    NOT_FINITE = "not-finite"
    UNSTABLE = "unstable"
    NOT_TRAINED = "not-trained"

    @property
    def help(self) -> str:
        """One or two sentences for the reader."""
        return _HELP[self]


_HELP = {
    StopReason.FINISHED: "Every planned epoch was run. If the validation score was still rising, plan more epochs.",
    StopReason.NO_IMPROVEMENT: "The validation loss stopped improving for as many epochs as `recipe.patience` "
    "allows; the best network seen was kept.",
    StopReason.TARGET_REACHED: "The training loss reached `recipe.target_loss`; going on would change little.",
    StopReason.TIME_BUDGET: "The time budget `recipe.max_seconds` ran out; the best network seen was kept. "
    "Raise the budget or resume the run to go on.",
    StopReason.INTERRUPTED: "The training was interrupted (Ctrl-C); the best network seen was kept and examined. "
    "`equipoise run --resume DIR` goes on from the last checkpoint.",
    StopReason.NOT_FINITE: "The loss became infinite or not a number; the last finite network was kept. "
    "Lower the learning rate, clip gradients (`recipe.max_grad_norm`) or look at the input scale.",
    StopReason.UNSTABLE: "The training broke (its loss rose and stayed up, or the network said the same to every "
    "sample) and none of the governor's corrections helped; the best network seen was kept. The question "
    "training-stability lists what was tried. Look at the scale of inputs and targets, the output layer and the loss.",
    StopReason.NOT_TRAINED: "The network was examined as it came; nothing was trained.",
}
