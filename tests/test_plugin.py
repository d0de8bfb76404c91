"""The example package adds a question: as an installed package, as a loose file, and by the rules."""

import tomllib
from pathlib import Path

import equipoise
from equipoise.examine.catalogue import load_plugin, questions
from equipoise.testing import best_classifier, check_question

EXAMPLE = Path(__file__).parents[1] / "plugins" / "example"


def installed(folder: Path) -> None:
    """Lay the package out as an installer would: its module, and metadata with its entry points."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    module = EXAMPLE / "equipoise_logit_scale.py"
    (folder / module.name).write_text(module.read_text())
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    entries = [
        f"[{group}]\n" + "\n".join(f"{name} = {target}" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(entries) + "\n")


def test_an_installed_package_adds_its_question(tmp_path, monkeypatch):
    assert "x-logit-scale" not in {question.card.id for question in questions()}
    installed(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "x-logit-scale" in {question.card.id for question in questions()}


def test_a_loose_file_adds_its_question_and_keeps_the_rules():
    (question,) = load_plugin(EXAMPLE / "equipoise_logit_scale.py")
    assert check_question(question, best_classifier()).verdict == "pass"
    fit = equipoise.fit(equipoise.plan("wine").replace(recipe__epochs=2))
    report = equipoise.examine(fit, plugins=[question], select=["x-logit-scale"])
    assert report.findings[0].question == "x-logit-scale"
    assert "x-logit-scale" in report.explanations
