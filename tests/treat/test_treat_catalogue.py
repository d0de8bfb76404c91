"""The catalogue of treatments: whole, documented, and what findings and faults speak of."""

import ast
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from equipoise import examine
from equipoise.core.plan import Plan
from equipoise.examine.catalogue import questions
from equipoise.run.bundled import bundled_plans
from equipoise.run.what import plan as plan_of
from equipoise.testing import check_treatment
from equipoise.treat import catalogue
from equipoise.treat.catalogue import SECTIONS, built_in, described, treatment_named, treatments
from equipoise.treat.change import Change
from equipoise.treat.general import GENERAL

BUILT_IN = built_in()
IDS = [one.id for one in BUILT_IN]


def test_every_treatment_has_one_id_and_a_module_of_its_name():
    assert len(set(IDS)) == len(IDS) > 20
    for one in BUILT_IN:
        said = described(one)
        assert said["What"]
        assert set(SECTIONS) <= set(said), f"{one.id} says nothing of {set(SECTIONS) - set(said)}"


def test_general_treatments_are_in_the_catalogue():
    assert [one for one in GENERAL if one not in IDS] == []
    assert len(set(GENERAL)) == len(GENERAL)


def test_what_a_finding_calls_by_an_id_is_a_treatment():
    """A question names treatments by their ids; what is no treatment is a phrase, which has a space in it."""
    unknown = {
        f"{one.card.id}: {name}"
        for one in questions()
        for name in one.card.may_help
        if " " not in name and name not in IDS
    }
    assert unknown == set()


def _named_in_questions() -> set[str]:
    """Return every word of the tuples of strings in the questions that name at least two treatments."""
    folder = Path(examine.__file__).parent
    files = [path for path in folder.glob("*/*.py") if path.parent.name not in ("diagnosis", "probes")]
    tuples = [
        [one.value for one in node.elts]
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Tuple) and all(isinstance(one, ast.Constant) for one in node.elts)
    ]
    return {name for names in tuples if len(set(names) & set(IDS)) > 1 for name in names}


def test_what_a_finding_names_in_special_cases_is_a_treatment_too():
    assert {name for name in _named_in_questions() if " " not in name} - set(IDS) == set()


def _can_be_done_to(treatment: object) -> Plan | None:
    for name in bundled_plans():
        plan = plan_of(name)
        try:
            treatment.apply(plan)
        except ValueError:
            continue
        return plan
    return None


@pytest.mark.parametrize("treatment", BUILT_IN, ids=IDS)
def test_treatments_keep_to_the_rules(treatment):
    plan = _can_be_done_to(treatment)
    if plan is not None:
        check_treatment(treatment, plan)


def test_lookup_names_the_nearest():
    assert treatment_named("dropout").id == "dropout"
    with pytest.raises(ValueError, match="Did you mean 'dropout'"):
        treatment_named("drop-out")


def nothing(plan: Plan) -> Plan:
    return plan.replace(recipe__epochs=plan.recipe.epochs + 1)


def test_ids_are_unique_and_plain():
    with pytest.raises(ValueError, match="two treatments with the id 'dropout'"):
        treatments([Change("dropout", "again", (), nothing)])
    with pytest.raises(ValueError, match="expected kebab-case"):
        treatments([Change("../dropout", "again", (), nothing)])


def test_a_plug_in_that_cannot_be_loaded_stops_nothing(monkeypatch):
    entries = [
        EntryPoint("Lost One", "no_such_module_here:TREATMENT", catalogue.ENTRY_POINTS),
        EntryPoint("wrong", "equipoise.core.plan:Plan", catalogue.ENTRY_POINTS),
    ]
    monkeypatch.setattr(catalogue, "entry_points", lambda group: entries)
    found = {one.id: one for one in treatments()}
    assert set(IDS) < set(found)
    with pytest.raises(
        ValueError, match=r"got the entry point 'no_such_module_here:TREATMENT', which failed with Module"
    ):
        found["lost-one"].apply(plan_of("wine"))
    with pytest.raises(ValueError, match="which failed with"):
        found["wrong"].apply(plan_of("wine"))


def test_the_check_finds_what_breaks_the_rules():
    plan = plan_of("wine")
    longer = check_treatment(Change("longer", "train longer", ("underfitting",), nothing, longer=True), plan)
    assert longer.recipe.epochs == plan.recipe.epochs + 1
    with pytest.raises(AssertionError, match="kebab-case"):
        check_treatment(Change("Longer", "train longer", ("underfitting",), nothing), plan)
    with pytest.raises(AssertionError, match="at least one question"):
        check_treatment(Change("longer", "train longer", (), nothing), plan)
    calls = iter(range(1, 9))
    drifting = Change("drift", "drift", ("accuracy",), lambda one: one.replace(recipe__epochs=next(calls)))
    with pytest.raises(AssertionError, match="the same difference every time"):
        check_treatment(drifting, plan)
