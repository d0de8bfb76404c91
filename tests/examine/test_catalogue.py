"""Which questions there are, from where, and what happens to bad ones."""

from pathlib import Path

import pytest

from equipoise.core.estimate import Verdict
from equipoise.examine import catalogue
from equipoise.examine.ask import ask
from equipoise.examine.question import THEMES, Question
from equipoise.testing import best_classifier

GOOD = '''
from dataclasses import dataclass, field

from equipoise.core.estimate import exact
from equipoise.examine.conclude import conclude
from equipoise.examine.question import Card

CARD = Card(
    id="x-{name}", theme="noise", title="How many?", why="w" * 40, how="h" * 40, verdicts="v" * 40,
    may_help=(), sources=("original",),
)


@dataclass(frozen=True)
class HowMany:
    """How many test samples there are."""

    card: Card = field(default=CARD, init=False)

    def cost_s(self, subject):
        return 0.0

    def answer(self, subject, context):
        n = len(subject.part("test"))
        return conclude(self.card, f"{{n}} samples.", {{"n": exact(n)}}, {{}})
'''


def test_built_in_questions_have_unique_ids_themes_and_whole_cards() -> None:
    found = catalogue.questions()
    assert len({one.card.id for one in found}) == len(found)
    assert all(isinstance(one, Question) for one in found)
    places = [THEMES.index(one.card.theme) for one in found]
    assert places == sorted(places)


def test_a_loose_file_adds_its_questions(tmp_path: Path) -> None:
    file = tmp_path / "plugin.py"
    file.write_text(GOOD.format(name="one"))
    other = tmp_path / "other" / "plugin.py"
    other.parent.mkdir()
    other.write_text(GOOD.format(name="two") + "\nQUESTIONS = (HowMany(),)\n")
    loaded = (*catalogue.load_plugin(file), *catalogue.load_plugin(other))
    assert [one.card.id for one in loaded] == ["x-one", "x-two"]
    assert ask(loaded[0], best_classifier(n=40)).claim == "10 samples."
    assert catalogue.question_named("x-two", loaded) is loaded[1]
    assert {one.card.id for one in loaded} <= {one.card.id for one in catalogue.questions(loaded)}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing.py", None, "expected a Python file"),
        ("wrong.txt", "x = 1", "expected a Python file"),
        ("empty.py", "x = 1", "without a question"),
        ("raises.py", "1 / 0", "failed with ZeroDivisionError"),
        ("bad.py", "QUESTIONS = (3,)", "got int; expected a question"),
    ],
)
def test_a_bad_plugin_file_is_named(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        catalogue.load_plugin(tmp_path / name)


def test_two_questions_of_one_id_and_a_strange_theme_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "plugin.py"
    file.write_text(GOOD.format(name="one"))
    once = catalogue.load_plugin(file)
    with pytest.raises(ValueError, match="two questions with the id 'x-one'"):
        catalogue.questions((*once, *catalogue.load_plugin(file)))
    file.write_text(GOOD.format(name="one").replace('"noise"', '"nois"'))
    with pytest.raises(ValueError, match="Did you mean 'noise'"):
        catalogue.questions(catalogue.load_plugin(file))


def test_unknown_names_get_the_nearest() -> None:
    known = catalogue.questions()
    with pytest.raises(ValueError, match="Did you mean 'calibration'"):
        catalogue.question_named("calibratoin")
    with pytest.raises(ValueError, match="Did you mean 'generalisation'"):
        catalogue.named_by(["generalization"], known)
    assert {"accuracy", "overfitting"} <= catalogue.named_by(["generalisation"], known)


def test_a_broken_registered_question_shows_up_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    broken = EntryPoint(name="x-broken", value="no_such_module:Question", group=catalogue.ENTRY_POINTS)
    monkeypatch.setattr(catalogue, "entry_points", lambda group: (broken,))
    question = catalogue.question_named("x-broken")
    finding = ask(question, best_classifier(n=40))
    assert finding.verdict is Verdict.ERROR
    assert "no_such_module" in finding.claim
