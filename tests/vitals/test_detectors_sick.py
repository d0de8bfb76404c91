"""Every detector sees the fault that was planted in a real training, and names it."""

import re

import pytest
from detector_cases import SICK, alarms, healthy_windows, watched

from equipoise.core.diagnosis import Symptom
from equipoise.core.faults import FAULTS
from equipoise.vitals.detectors.all import all_detectors
from equipoise.vitals.detectors.detector import Detector

PLACE = re.compile(r"inputs|targets|validation|loss|optimizer\.\w+|loop\.\w+|layer:.+")


def detector(name: str) -> Detector:
    return next(one for one in all_detectors() if one.name == name)


def well_formed(symptom: Symptom, by: Detector) -> bool:
    return (
        symptom.name == by.name
        and set(symptom.suggests) <= set(FAULTS)
        and all(PLACE.fullmatch(one) for one in symptom.where)
        and bool(symptom.estimates)
        and symptom.step >= 1
    )


@pytest.mark.parametrize("name", SICK)
def test_the_planted_fault_is_seen_and_named(name):
    make, fault = SICK[name]
    ours = detector(name)
    seen = alarms(watched(ours, make(0)))
    assert seen, f"{name} saw nothing"
    assert all(well_formed(one, ours) for one in seen)
    assert fault in seen[0].suggests
    assert set(seen[0].suggests) & set(ours.faults)


def test_a_healthy_training_is_left_alone_by_all():
    windows = healthy_windows(0)
    for one in all_detectors():
        assert alarms(watched(one, windows)) == [], one.name


def test_names_are_unique_and_faults_are_words_of_the_vocabulary():
    detectors = all_detectors(budget=100, floor=0.0)
    assert len({one.name for one in detectors}) == len(detectors)
    assert {fault for one in detectors for fault in one.faults} <= set(FAULTS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", one.name) for one in detectors)
