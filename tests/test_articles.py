"""The articles' programs: printed ones are diagnosed by name, with advice that mends them; mended ones are healthy."""

import functools
from pathlib import Path

import pytest

import equipoise
from equipoise.core.program_file import program_of

FOLDER = Path(__file__).parents[1] / "examples" / "articles"
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py"))

FAULTS = {
    "ascent_on_xor": [("shape_broadcast", "loss"), ("gradient_ascent", "loop.backward")],
    "five_full_batch_steps": [("batch_size_too_large", "loop.batch_size"), ("too_few_epochs", "loop.epochs")],
    "remade_variables": [("parameters_without_gradient", "loop.forward")],
    "undefined_loss": [("loss_mismatch", "loss")],
    "wrong_input_shape": [("shape_broadcast", "inputs")],
}
"""What may come first, and where."""

ADVICE = {
    "ascent_on_xor": "Give both one shape",
    "five_full_batch_steps": "rain for more epochs",
    "remade_variables": "Make them once, as nn.Parameter or layers in __init__.",
    "undefined_loss": "Define it before the loop, for example criterion = nn.CrossEntropyLoss().",
    "wrong_input_shape": "its first linear layer takes 28 features",
}


@functools.cache
def diagnosed(name, version):
    """Diagnose, with time to spare where only runs tell the causes apart."""
    arguments = program_of(f"{FOLDER / name}.py:{version}", trust=True)
    return equipoise.diagnose(**arguments, budget_s=90 if name == "five_full_batch_steps" else 30)


def test_every_program_is_listed():
    assert sorted(FAULTS) == PROGRAMS


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_printed_program_is_diagnosed_by_name_with_place_and_advice(name):
    found = diagnosed(name, "as_printed")
    assert not found.healthy
    first = found.causes[0]
    assert (first.fault, first.where) in FAULTS[name], str(found)
    assert ADVICE[name] in " ".join((*first.evidence, first.treatment)), str(found)
    assert first.confidence > 0.5


def test_both_faults_of_the_exclusive_or_are_named():
    named = {(one.fault, one.where) for one in diagnosed("ascent_on_xor", "as_printed").causes[:2]}
    assert named == set(FAULTS["ascent_on_xor"])


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_mended_program_is_healthy(name):
    found = diagnosed(name, "mended")
    assert found.healthy, str(found)
    assert found.score["own loop"] > 0.75
