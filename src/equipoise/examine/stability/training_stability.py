"""Asks whether the training kept its balance by itself, or had to be rolled back and corrected."""

from dataclasses import dataclass, field

import numpy as np

from equipoise.core.act import Act, Correction
from equipoise.core.estimate import Estimate, Line, exact
from equipoise.core.finding import Finding
from equipoise.core.stop import StopReason
from equipoise.core.vital import Vital
from equipoise.examine.conclude import conclude
from equipoise.examine.loss_history import loss_curves, loss_of
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.examine.wording import bracketed, count_of, percent
from equipoise.stats.intervals import mean

_CARD = Card(
    id="training-stability",
    theme="stability",
    title="Did the training keep its balance?",
    why=(
        "A training that breaks on the way (a loss that is not finite, a spike that stays, units that fall silent) may "
        "still end with a network, but that network owes its weights to a repair. Whoever trains it again should know "
        "what broke and which correction held, and put that correction into the recipe."
    ),
    how=(
        "While the network is trained, the governor reads the losses a handful at a time and looks at the units now "
        "and then. It acts when a loss is not finite; when the median loss lies over 6 robust standard deviations "
        "above the usual, more than half of all progress is lost and it stays so for 32 steps; when it lies above half "
        "of the progress for 192 steps; when it is above that of the untouched weights although the weights moved far; "
        "or when two looks, without progress between them, find one output for all samples. "
        "Each act goes back to a snapshot and makes the next larger correction: skip batches, clip gradients, lower "
        "and re-warm the step, revive silent units, scale units to their usual activity. `acts` counts them, `stopped` "
        "is 1 when nothing helped, `undone` is the share of steps that were taken back. `late_drift` is the mean "
        "change of the validation score from one look to the next in the last quarter of the looks, with Student's t "
        "interval: at least so large a share of the answers still changed when the training ended."
    ),
    verdicts=(
        "pass: the governor had nothing to do, and the network is bit for bit what it would have been without it. "
        "warn: it acted and the training went on, or answers surely still changed by more than 0.05 (5 points) a look. "
        "fail: nothing helped, and it stopped the training. skipped: the "
        "recipe switches it off, or the network was trained elsewhere."
    ),
    may_help=("lower-step", "gradient-clipping", "warm-up", "standardise-inputs", "he-initialisation", "batch-norm"),
    sources=(
        "A. Chowdhery et al., PaLM: scaling language modeling with pathways, JMLR 2023, section 5.1 (skipping batches)",
        "R. Pascanu, T. Mikolov and Y. Bengio, On the difficulty of training recurrent neural networks, ICML 2013",
        "G. Sokar, R. Agarwal, P. S. Castro and U. Evci, The dormant neuron phenomenon, ICML 2023",
        "G. G. Turrigiano, The self-tuning neuron: synaptic scaling of excitatory synapses, Cell 2008",
    ),
    lines={
        "acts": Line(warn=0.0, fail=47.0),
        "stopped": Line(warn=0.0, fail=0.0),
        "late_drift": Line(warn=0.05, fail=0.2),
    },
)

LOOKS = 16
"""Fewer looks at the validation part than this show no drift."""

_CURES: dict[Correction, tuple[str, ...]] = {
    "skip-batches": ("gradient-clipping", "look at data-quality"),
    "clip-gradients": ("gradient-clipping", "warm-up", "lower-step"),
    "lower-step": ("lower-step", "warm-up", "standardise-inputs"),
    "revive-units": ("he-initialisation", "leaky-relu", "lower-step"),
    "scale-units": ("he-initialisation", "batch-norm", "standardise-inputs"),
    "stop": ("standardise-inputs", "standardise-targets", "loss-pairing", "relu"),
}
"""What to put into the plan, by the last correction that was made."""

_SETTLING = ("cosine", "one-cycle", "lower-step", "tail-averaging", "exponential-averaging")
"""What lets a training come to rest that drifts to its end."""


@dataclass(frozen=True, slots=True)
class TrainingStability:
    """Ask what the governor did during the training."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        del subject
        return 0.01

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The network was not trained here, or without the governor.
        """
        fit = subject.fit
        if fit is None or fit.stopped is StopReason.NOT_TRAINED:
            raise InapplicableError("the network was trained elsewhere, so nobody watched its training")
        if not fit.plan.recipe.governor:
            raise InapplicableError("the recipe switches the governor off (recipe.governor = false)")
        made = [act for act in fit.acts if act.what != "stop"]
        steps = max(1, fit.steps)
        undone = sum(act.step - act.numbers.get("back_to", act.step) for act in fit.acts)
        estimates = {
            "acts": exact(float(len(made)), n=steps),
            "stopped": exact(float(len(fit.acts) - len(made))),
            "undone": exact(min(1.0, undone / steps), n=steps),
        }
        drift = late_drift(fit.vitals)
        claim = _claim(fit.acts, fit.steps, estimates["undone"].value)
        if drift is not None:
            estimates["late_drift"] = drift
            claim += f" In the last quarter the validation score changed by {bracketed(drift)} from look to look."
        train = loss_of(fit.vitals, "train")
        return conclude(
            self.card,
            claim,
            estimates,
            context.lines,
            figures=(loss_curves(train, loss_of(fit.vitals, "validation")),) if fit.acts and train is not None else (),
            treatments=_CURES[fit.acts[-1].what] if fit.acts else _SETTLING,
        )


def late_drift(vitals: tuple[Vital, ...]) -> Estimate | None:
    """Return by how much the validation score changed from look to look in the last quarter of the looks.

    None with fewer than `LOOKS` looks, or with one that gave no score.
    """
    score = next((one for one in vitals if one.name == "score" and one.part == "validation"), None)
    if score is None or len(score.values) < LOOKS or not np.isfinite(score.values).all():
        return None
    changes = np.abs(np.diff(score.values))[-(len(score.values) // 4) :]
    found = mean(changes)
    return found.replace(low=max(0.0, found.low))


def _claim(acts: tuple[Act, ...], steps: int, undone: float) -> str:
    if not acts:
        return f"The governor watched {count_of(steps, 'step')} and had nothing to do."
    shown = [f"{act.what} after step {act.step:,} ({act.outcome})" for act in acts]
    if len(shown) > 6:
        shown[3:-2] = [f"{len(shown) - 5} more"]
    why = acts[-1].why if acts[-1].what == "stop" else acts[0].why
    return (
        f"The governor acted {count_of(len(acts), 'time')} in {count_of(steps, 'step')} and took back "
        f"{percent(undone)} of them: {', '.join(shown)}. {why}"
    )
