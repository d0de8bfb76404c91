"""What the runs of a diagnosis found, as plain numbers: the input of the causal model."""

from dataclasses import dataclass, field

from equipoise.core.diagnosis import Symptom

SLACK = 0.1
"""A classical learner counts for this much less than it reaches: its ways are not open to every network."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One choice of the training, and what changing it did.

    Attributes:
        name: The choice.
        faults: What is wrong when the sound choice cures, with a weight in (0, 1] each.
        where: Where it is.
        doubt: How unsound the present choice looks, in [0, 1].
        alone: Skill of the training with only this choice made sound; the best of its alternatives.
        alone_z: How many standard errors that is better than the training as it is.
        without: Skill of the sound recipe with only this choice left as it is; None when not tried.
        alone_balanced: Mean recall over the classes of the training with only this choice made sound.
    """

    name: str
    faults: dict[str, float]
    where: str
    doubt: float
    alone: float | None = None
    alone_z: float = 0.0
    without: float | None = None
    alone_balanced: float = 0.0


@dataclass(frozen=True, slots=True)
class Course:
    """How one run of the training went.

    Attributes:
        skill: Score at the end between chance (0) and perfect (1); negative below chance.
        balanced: Mean recall over the classes.
        train: Skill on the training part at the end.
        finite: Whether every loss was finite.
        steps: Steps taken.
        epochs: Passes over the data.
        jumps: Standard deviation of the last quarter's losses about their trend over the mean of the first losses.
        loss_rise: By how much the validation loss ended above its lowest look, as a share of the first.
        update: Median ratio of a step to the weights, over layers and steps; NaN where unknown.
        dead: Largest share of dead units in a hidden layer at the end, and where.
        saturated: Largest share of saturated values in a hidden layer at the end, and where.
        constant: Largest share of constant units in a hidden layer at the end, and where.
    """

    skill: float
    balanced: float
    train: float
    finite: bool
    steps: int
    epochs: int
    jumps: float
    loss_rise: float
    update: float
    dead: tuple[float, str] = (0.0, "")
    saturated: tuple[float, str] = (0.0, "")
    constant: tuple[float, str] = (0.0, "")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the causal model weighs.

    Attributes:
        own: The training by its own loop and its own evaluation.
        plain: The training with a plain loop, plainly evaluated; equal to `own` where the loop is plain.
        own_plainly: Skill of its own loop's network, plainly evaluated.
        reference: Skill of the sound recipe on the same network.
        ceiling: Skill of classical learners on the same data; 0 where unknown.
        learnable: Skill of classical learners on the training part alone, by cross-validation; 1 where unknown.
        reference_z: How many standard errors the sound recipe is better than `base`.
        base: Skill of the training that the choices were changed in; cut short where the whole would take too long.
        tried: The choices that were changed.
        heard: What the streaming detectors heard while the training ran as it is.
        at_birth: Dead, saturated and constant shares before the first step, as in `Course`.
        rate: Largest learning rate of the optimiser's groups; negative where that group climbs.
        is_plain: Whether a step of the own loop is a plain step.
        movement: How far a step of the own loop moves the weights, over how far a plain step does.
        complete: Whether its own loop was run to its end.
        telling: Whether a score says anything: not where all targets are alike.
        unmade: Runs of ours that raised, each with what they raised.
    """

    own: Course
    plain: Course
    own_plainly: float
    reference: float
    ceiling: float = 0.0
    learnable: float = 1.0
    base: float = 0.0
    reference_z: float = 9.0
    tried: tuple[Tried, ...] = field(default=())
    heard: tuple[Symptom, ...] = ()
    at_birth: tuple[tuple[float, str], tuple[float, str], tuple[float, str]] = ((0.0, ""), (0.0, ""), (0.0, ""))
    rate: float = 1e-3
    is_plain: bool = True
    movement: float = 1.0
    complete: bool = True
    telling: bool = True
    unmade: dict[str, str] = field(default_factory=dict)
