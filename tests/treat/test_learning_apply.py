"""Every treatment on every kind of plan: it makes one difference that a file can hold, or says why it cannot."""

import importlib
import pkgutil
import re

import pytest

import equipoise.treat.treatments
from equipoise.core.faults import FAULTS
from equipoise.core.plan import Plan, plan_text, read_plan

MODULES = sorted(one.name for one in pkgutil.iter_modules(equipoise.treat.treatments.__path__))
TREATMENTS = [importlib.import_module(f"equipoise.treat.treatments.{name}").TREATMENT for name in MODULES]
NETWORKS = [
    {"family": "dense"},
    {"family": "dense", "hidden": [8], "activation": "linear", "dropout": 0.9},
    {"family": "convolutional"},
    {"family": "vgg"},
    {"family": "residual"},
    {"family": "recurrent", "cell": "plain"},
    {"family": "recurrent"},
    {"family": "transformer"},
    {"family": "autoencoder"},
    {"family": "generative-pair"},
    {"family": "foreign", "factory": "somewhere:network"},
]
SICK = {"optimizer": "momentum", "momentum": 0.5, "l2": 1.0, "shuffle": False, "governor": False, "loss": "focal"}
RECIPES = [{}, SICK, {"optimizer": "schedule-free"}, {"optimizer": "gradient-descent"}]
NAMED = ("synthetic-simulation", "transfer")
"""Treatments with something that the plan must name."""

PLANS = [
    Plan.read({"name": "one", "data": {"source": "given"}, "network": network, "recipe": recipe})
    for network in NETWORKS
    for recipe in RECIPES
]


def applied(treatment, plan):
    """Return the treated plan, or why there is none."""
    try:
        return treatment.apply(plan)
    except ValueError as problem:
        return str(problem)


@pytest.mark.parametrize("treatment", TREATMENTS, ids=[one.id for one in TREATMENTS])
def test_it_changes_a_plan_or_says_why_not(treatment, tmp_path):
    done, last = 0, None
    for plan in PLANS:
        before = plan.model_dump_json()
        changed = applied(treatment, plan)
        if isinstance(changed, str):
            assert re.search(r"got .*expected .*\. [A-Z]", changed, re.DOTALL), changed
            continue
        done += 1
        assert changed != plan
        assert plan.model_dump_json() == before
        last = changed
    assert done or treatment.id in NAMED
    if last is not None:
        (tmp_path / "plan.toml").write_text(plan_text(last))
        assert read_plan(tmp_path / "plan.toml") == last


def test_every_fault_has_a_treatment():
    treated = {word for one in TREATMENTS for word in one.treats}
    assert set(FAULTS) - treated == set()


def test_a_module_is_named_after_its_treatment():
    assert [one.id.replace("-", "_") for one in TREATMENTS] == MODULES
