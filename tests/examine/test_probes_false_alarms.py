"""A small seeded slice of `benchmarks/probes_false_alarms.py`, and the record that it wrote."""

import json
import sys
from pathlib import Path

import pytest

from equipoise.core.estimate import Verdict
from equipoise.examine.probes.all import PROBES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
QUICK = [name for name in PROBES if name not in ("memorises-a-batch", "labels-fit-inputs")]
SLICE = (
    "dense, digits from 0 to 16",
    "dense, softmax and probabilities",
    "linear regression",
    "autoencoder",
    "residual",
    "LSTM",
    "transformer",
    "words",
    "own loop that accumulates and clips",
    "own loop, dropout and evaluation",
)


@pytest.mark.parametrize("name", SLICE)
def test_healthy_trainings_raise_no_alarm(name, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import probes_subjects

    setup = probes_subjects.subject(name, seed=1000)
    loud = {}
    for probe in QUICK:
        symptom = PROBES[probe](setup)
        if symptom.verdict in (Verdict.WARN, Verdict.FAIL, Verdict.ERROR):
            loud[probe] = symptom.claim
    assert loud == {}
    sys.modules.pop("probes_subjects", None)


def test_the_record_holds_every_probe_and_few_false_alarms():
    records = sorted((BENCHMARKS / "records").glob("*probes-false-alarms.json"))
    record = json.loads(records[-1].read_text())
    # The two slowest probes are recorded apart, when they have been run.
    assert set(record["probes"]) >= set(PROBES) - {"memorises-a-batch", "labels-fit-inputs"}
    assert record["seeds_a_subject"] >= 50
    for name, row in record["probes"].items():
        assert row["rate"]["value"] <= 0.02, (name, row["alarms"][:3])
