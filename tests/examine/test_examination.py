"""The examination: order, budget, selection, claims and many looks at once."""

from dataclasses import dataclass

import pytest

from equipoise.core.estimate import Estimate, Line, Verdict
from equipoise.core.finding import Finding
from equipoise.core.progress import Progress
from equipoise.examine import catalogue
from equipoise.examine.conclude import conclude
from equipoise.examine.examination import examine_subject
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject
from equipoise.testing import best_classifier


@dataclass(frozen=True)
class Fixed:
    """A question with a fixed cost and estimate."""

    name: str
    theme: str = "noise"
    cost: float = 0.0
    value: float = 0.0
    half: float = 0.01

    @property
    def card(self) -> Card:
        return Card(
            id=self.name,
            theme=self.theme,
            title="Is it?",
            why="",
            how="",
            verdicts="",
            may_help=("a cure",),
            sources=("original",),
            lines={"size": Line(warn=1.0, fail=2.0)},
        )

    def cost_s(self, subject: Subject) -> float:
        if self.cost < 0:
            raise RuntimeError("no idea")
        return self.cost

    def answer(self, subject: Subject, context: Context) -> Finding:
        size = Estimate(value=self.value, low=self.value - self.half, high=self.value + self.half, n=100)
        return conclude(self.card, f"{self.value}", {"size": size}, context.lines)


@pytest.fixture(autouse=True)
def _only_planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "BUILT_IN", ())
    monkeypatch.setattr(catalogue, "entry_points", lambda group: ())


SUBJECT = best_classifier(n=40)


def test_questions_are_asked_by_theme_and_told_of() -> None:
    heard: list[Progress] = []
    plugins = (Fixed("b", "noise"), Fixed("a", "data"), Fixed("c", "noise"))
    findings, left = examine_subject(SUBJECT, plugins=plugins, on_progress=heard.append)
    assert [one.question for one in findings] == ["a", "b", "c"]
    assert left == ()
    assert [(one.done, one.total, one.note) for one in heard[:3]] == [(0, 3, "a"), (1, 3, "b"), (2, 3, "c")]
    assert heard[-1].finished
    assert heard[-1].note == "3 questions: 3 pass"


def test_what_does_not_fit_the_budget_is_left_out_with_its_command() -> None:
    plugins = (Fixed("dear", cost=100.0), Fixed("cheap", cost=0.1))
    findings, left = examine_subject(SUBJECT, plugins=plugins, budget_s=5.0, command="equipoise run digits")
    assert [one.question for one in findings] == ["cheap"]
    assert left[0].command == "equipoise run digits --select dear"
    assert left[0].reason.startswith("takes about 100.0 s")
    _, left = examine_subject(SUBJECT, plugins=plugins, budget_s=5.0, command="equipoise.examine(network, data)")
    assert left[0].command == 'equipoise.examine(network, data, select=["dear"])'
    findings, _ = examine_subject(SUBJECT, plugins=plugins, budget_s=5.0, select=["dear"])
    assert [one.question for one in findings] == ["dear"]


def test_select_and_ignore_take_ids_and_themes() -> None:
    plugins = (Fixed("a", "data"), Fixed("b", "noise"), Fixed("c", "noise"))
    findings, left = examine_subject(SUBJECT, plugins=plugins, select=["noise"], ignore=["c"])
    assert [one.question for one in findings] == ["b"]
    assert {one.question: one.reason for one in left} == {
        "a": "not among those asked for (select)",
        "c": "left out on request (ignore)",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"select": ["alhpa"]}, "Did you mean 'alpha'"),
        ({"ignore": ["nois"]}, "Did you mean 'noise'"),
        ({"claims": {"alpa": {}}}, "got claims about a question 'alpa'.*Did you mean 'alpha'"),
        ({"claims": {"alpha": {"sizes": {"warn": 1.0}}}}, "got claims.alpha.sizes.*Did you mean 'size'"),
        ({"claims": {"alpha": {"size": {"wran": 1.0}}}}, "got claims.alpha.size.wran.*Did you mean 'warn'"),
        ({"claims": {"alpha": {"size": {"warn": 3.0}}}}, "with warn 3 and fail 2.*Exchange them"),
        ({"budget_s": -1.0}, "got a budget of -1.0 s"),
    ],
)
def test_names_and_claims_that_fit_nothing_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        examine_subject(SUBJECT, plugins=(Fixed("alpha"),), **options)


def test_claims_replace_thresholds() -> None:
    claims = {"a": {"size": {"warn": 0.1, "fail": 0.2}}}
    findings, _ = examine_subject(SUBJECT, plugins=(Fixed("a", value=0.5),), claims=claims)
    assert findings[0].verdict is Verdict.FAIL
    assert findings[0].lines["size"] == Line(warn=0.1, fail=0.2)
    assert findings[0].treatments == ("a cure",)


def test_a_cost_that_cannot_be_told_is_an_error_of_that_question_only() -> None:
    findings, _ = examine_subject(SUBJECT, plugins=(Fixed("a", cost=-1.0), Fixed("b")))
    assert [one.verdict for one in findings] == [Verdict.ERROR, Verdict.PASS]


def test_a_weak_warning_among_many_looks_says_so() -> None:
    healthy = tuple(Fixed(f"ok-{k}") for k in range(19))
    weak, strong = Fixed("weak", value=1.0101), Fixed("strong", value=1.5)
    findings, _ = examine_subject(SUBJECT, plugins=(*healthy, weak, strong))
    by_id = {one.question: one for one in findings}
    assert by_id["weak"].verdict is Verdict.WARN
    assert "21 thresholds were judged" in by_id["weak"].assumptions[0]
    assert by_id["strong"].assumptions == ()
    alone, _ = examine_subject(SUBJECT, plugins=(weak,))
    assert alone[0].assumptions == ()


def test_a_string_is_one_name_and_not_its_letters() -> None:
    plugins = (Fixed("alpha", "data"), Fixed("alp", "noise", cost=100.0))
    findings, _ = examine_subject(SUBJECT, plugins=plugins, select="alpha")
    assert [one.question for one in findings] == ["alpha"]
    findings, left = examine_subject(SUBJECT, plugins=plugins, ignore="noise")
    assert [one.question for one in findings] == ["alpha"]
    assert [one.question for one in left] == ["alp"]
