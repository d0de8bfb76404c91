"""`equipoise treat` and `run --treat`: one course, its files, its chapter in the report, and going on with it."""

import pytest
from typer.testing import CliRunner

from equipoise.cli.app import app
from equipoise.core.course import Course
from equipoise.core.plan import Plan, read_plan, write_plan
from equipoise.core.report import Report
from equipoise.run.loaded import load
from equipoise.run.what import plan as plan_of
from equipoise.treat import treat as room
from equipoise.treat.change import Change

SICK = plan_of("wine").replace(name="sick", recipe__epochs=4, recipe__patience=None, recipe__learning_rate=1e-5)


def learn(plan: Plan) -> Plan:
    return plan.replace(recipe__learning_rate=3e-2)


CURE = Change("cure", "learn", ("accuracy", "underfitting", "loss-trend"), learn)


@pytest.fixture
def sick(in_tmp, monkeypatch):
    """Stand in an empty folder with a sick plan, where only one treatment is known."""
    monkeypatch.setattr(room, "treatments", lambda plugins: (CURE,))
    monkeypatch.setattr(room, "examination_s", lambda budget_s: 0.5)  # how long it may take has tests of its own
    write_plan(SICK, in_tmp / "sick.toml")
    return in_tmp


def invoke(*words: str) -> object:
    return CliRunner().invoke(app, words, catch_exceptions=False)


def test_run_and_treat_writes_everything(sick):
    done = invoke("run", "sick.toml", "--out", "there", "--treat", "--budget", "30s", "--select", "accuracy")
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "1 of 1 treatment passed and was adopted: cure (1 adopted)." in said
    assert "+ learning_rate = 0.03" in said
    folder = sick / "there"
    report = Report.load(folder / "report.json")
    assert report.course.adopted == ("cure",)
    assert report.course == Course.load(folder / "treated" / "course.json")
    page = (folder / "report.html").read_text()
    assert '<svg class="forest"' in page
    assert '<span class="added">+ learning_rate = 0.03</span>' in page
    assert "cure" not in (folder / "junit.xml").read_text()
    assert read_plan(folder / "treated" / "plan.toml").recipe.learning_rate == 3e-2
    treated = load(folder / "treated")
    assert treated.plan == learn(SICK)
    assert treated.report.findings
    assert sorted(one.name for one in (folder / "treated").iterdir()) == [
        *("course.json", "history.parquet", "junit.xml", "network.safetensors"),
        *("plan.toml", "report.html", "report.json", "run.json"),
    ]
    again = invoke("run", "--resume", "there")
    assert again.exit_code == 0
    assert "cure" not in again.output, "a course that is finished is not gone on with"
    more = invoke("treat", "there", "--seeds", "6", "--quiet")
    assert more.output.strip() == "there/treated/plan.toml"
    assert Report.load(folder / "report.json").course.adopted == ("cure",)


def test_a_run_that_trained_nothing_cannot_be_treated(sick):
    invoke("run", "sick.toml", "--out", "there", "--no-fit", "--select", "accuracy")
    with pytest.raises(ValueError, match="a run that trained nothing; expected one whose plan was trained"):
        invoke("treat", "there")
    with pytest.raises(FileNotFoundError, match="holds no plan.toml"):
        invoke("treat", "nowhere")


def test_treating_needs_training(in_tmp):
    refused = CliRunner().invoke(app, ["run", "wine", "--treat", "--no-fit"])
    assert refused.exit_code == 2
    assert "got --treat with --no-fit" in " ".join(refused.output.split())


PROGRAM = """
import torch
from torch import nn

def training():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(120, 3, generator=generator)
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    return dict(
        network=network,
        loss=nn.functional.cross_entropy,
        optimizer=torch.optim.SGD(network.parameters(), lr=1e-5),
        train=(inputs, (inputs[:, 0] > 0).long()),
        epochs=3,
    )
"""


def test_a_training_of_ones_own_is_treated_and_kept(in_tmp):
    (in_tmp / "mine.py").write_text(PROGRAM)
    done = invoke("treat", "mine.py:training", "--trust", "--out", "out")
    assert done.exit_code == 0
    assert "adopted: " in done.output
    files = {"diagnosis.json", "trial.json", "plan.toml", "network.safetensors"}
    assert {one.name for one in (in_tmp / "out").iterdir()} == files


def test_a_folder_to_write_is_for_trainings_of_ones_own(in_tmp):
    refused = CliRunner().invoke(app, ["treat", "there", "--out", "x"])
    assert refused.exit_code == 2
    assert "got --out 'x' with a run folder" in " ".join(refused.output.split())
