"""Every streaming detector, fresh."""

from equipoise.vitals.detectors.ascent import FloorlessLoss, GradientAscent
from equipoise.vitals.detectors.constant import CollapsedActivations
from equipoise.vitals.detectors.depth import ExplodingGradient, VanishingGradient
from equipoise.vitals.detectors.detector import Detector
from equipoise.vitals.detectors.divergence import Divergence
from equipoise.vitals.detectors.mode import WrongMode
from equipoise.vitals.detectors.no_gradient import NoGradient
from equipoise.vitals.detectors.nonfinite import NonFinite
from equipoise.vitals.detectors.optimizer_link import ReplacedParameters, StaleOptimizer
from equipoise.vitals.detectors.order import FixedOrder
from equipoise.vitals.detectors.oscillation import Oscillation
from equipoise.vitals.detectors.plateau import Plateau
from equipoise.vitals.detectors.reading import Reading
from equipoise.vitals.detectors.regulariser import RegulariserDominating
from equipoise.vitals.detectors.step_size import StepTooLarge, StepTooSmall
from equipoise.vitals.detectors.units import DeadUnits, SaturatedUnits
from equipoise.vitals.detectors.zero_grad import MissingZeroGrad


def all_detectors(*, budget: int | None = None, floor: float | None = None) -> tuple[Detector, ...]:
    """Return one new detector of each kind, for one training.

    Args:
        budget: Optimiser steps of the whole training, where known: slow progress is judged against it.
        floor: Lowest loss that can be reached, where known: a plateau is judged against it.
    """
    reading = Reading()
    return (
        NonFinite(),
        VanishingGradient(reading),
        ExplodingGradient(reading),
        DeadUnits(),
        SaturatedUnits(reading),
        CollapsedActivations(),
        StepTooLarge(reading),
        StepTooSmall(budget, reading),
        Oscillation(reading),
        Plateau(floor, reading),
        Divergence(reading),
        GradientAscent(reading),
        FloorlessLoss(reading),
        RegulariserDominating(reading),
        MissingZeroGrad(reading),
        StaleOptimizer(),
        ReplacedParameters(),
        NoGradient(),
        WrongMode(),
        FixedOrder(),
    )
