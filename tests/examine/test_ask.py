"""The frame: what a question may do, and what is put back when it does more."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from equipoise.core.estimate import Line, Verdict
from equipoise.core.finding import Finding
from equipoise.examine.ask import ask, own_generator
from equipoise.examine.conclude import conclude
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.stats.intervals import proportion
from equipoise.testing import best_classifier, check_question, make_subject

CARD = Card(
    id="planted",
    theme="learning",
    title="Does it behave?",
    why="A planted question, for testing the frame that asks questions.",
    how="It counts nothing, but does whatever the test plants into it.",
    verdicts="pass always, unless the test makes it do something else.",
    may_help=("nothing",),
    sources=("original",),
    lines={"share": Line(warn=0.5, fail=0.9)},
)


@dataclass(frozen=True)
class Planted:
    """A question that runs planted code."""

    act: Callable[[Subject, Context], object]
    card: Card = field(default=CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        return 0.0

    def answer(self, subject: Subject, context: Context) -> Finding:
        self.act(subject, context)
        share = proportion(int(torch.randint(0, 20, (), generator=context.generator)), 100)
        return conclude(self.card, f"{share.value:.0%} of {share.n}.", {"share": share}, context.lines)


def _network_with_everything() -> Subject:
    donor = best_classifier(n=80)
    body = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    parts = (donor.part(name) for name in ("train", "validation", "test"))
    return make_subject(body, donor.network.head, donor.network.signature, *parts)


def _fill_gradient(subject: Subject, context: Context) -> None:
    subject.network(subject.part("test").inputs).sum().backward()


def _overwrite(subject: Subject, context: Context) -> None:
    with torch.no_grad():
        subject.network.body[0].weight[0, 0] = float("nan")


def _swap_layer(subject: Subject, context: Context) -> None:
    subject.network.body[2] = nn.Tanh()


def _new_parameter(subject: Subject, context: Context) -> None:
    subject.network.body[0].weight = nn.Parameter(torch.zeros(8, 5))


VIOLATIONS = {
    "values of body.0.weight": _overwrite,
    "values of body.1.running_mean": lambda s, c: s.network.body[1].running_mean.data.add_(1.0),
    "training mode of body.3": lambda s, c: s.network.body[3].train(),
    "training mode of the network": lambda s, c: s.network.train(),
    "hooks of body.2": lambda s, c: s.network.body[2].register_forward_hook(lambda m, i, o: o + 1),
    "modules of body": _swap_layer,
    "parameters of body.0": _new_parameter,
    "requires_grad of body.4.bias": lambda s, c: s.network.body[4].bias.requires_grad_(False),
    ".grad of body.0.weight": _fill_gradient,
    "the cached answers on the test part": lambda s, c: s.answers("test").inputs.mul_(2.0),
    "the global random state of torch": lambda s, c: torch.randn(3),
    "the global random state of numpy": lambda s, c: np.random.rand(),
    "the global random state of python": lambda s, c: random.random(),
    "torch's default dtype": lambda s, c: torch.set_default_dtype(torch.float64),
    "torch's gradient mode": lambda s, c: torch.set_grad_enabled(False),
}


@pytest.mark.parametrize("what", list(VIOLATIONS))
def test_a_violation_is_put_back_and_named(what: str) -> None:
    subject = _network_with_everything()
    inputs = subject.part("test").inputs
    want = subject.network.answer(inputs).detach().clone()
    kept = subject.answers("test").inputs.clone()
    globals_before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())

    finding = ask(Planted(VIOLATIONS[what]), subject)

    assert finding.verdict is Verdict.ERROR
    assert what in finding.where
    assert "put back" in finding.claim
    assert what in finding.claim or len(finding.where) > 5
    assert torch.equal(subject.network.answer(inputs), want)
    assert torch.equal(subject.answers("test").inputs, kept)
    assert not any(module.training for module in subject.network.modules())
    assert all(one.grad is None and one.requires_grad for one in subject.network.parameters())
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), globals_before[0])
    assert (np.random.get_state()[1] == globals_before[1]).all()
    assert random.getstate() == globals_before[2]
    assert ask(Planted(lambda s, c: None), subject).verdict is Verdict.PASS


def test_weights_are_put_back_even_when_the_question_raises() -> None:
    subject = _network_with_everything()

    def act(s: Subject, c: Context) -> None:
        _overwrite(s, c)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(Planted(act), subject)
    assert not subject.network.body[0].weight.isnan().any()


def test_not_a_number_in_weights_is_no_violation() -> None:
    subject = _network_with_everything()
    _overwrite(subject, None)
    assert ask(Planted(lambda s, c: None), subject).verdict is Verdict.PASS


def test_an_exception_becomes_an_error_finding_with_its_place() -> None:
    def act(s: Subject, c: Context) -> None:
        raise ZeroDivisionError("first line\nsecond line")

    finding = ask(Planted(act), best_classifier(n=40))
    assert finding.verdict is Verdict.ERROR
    assert finding.claim == "The question failed with ZeroDivisionError: first line second line"
    assert finding.where[0].startswith("examine/test_ask.py:")
    assert finding.where[0].endswith(" in act")


def test_what_cannot_be_asked_is_skipped_with_its_reason() -> None:
    def act(s: Subject, c: Context) -> None:
        raise InapplicableError("targets are classes")

    finding = ask(Planted(act), best_classifier(n=40))
    assert (finding.verdict, finding.claim) == (Verdict.SKIPPED, "targets are classes")


def test_answers_of_the_wrong_kind_are_errors() -> None:
    @dataclass(frozen=True)
    class Wrong(Planted):
        def answer(self, subject: Subject, context: Context) -> Finding:
            return self.act(subject, context)

    none = ask(Wrong(lambda s, c: None), best_classifier(n=40))
    assert none.verdict is Verdict.ERROR
    assert "got NoneType" in none.claim
    other = Finding(question="other", theme="data", title="Other?", verdict=Verdict.PASS, claim="1")
    assert "got a finding about 'other'" in ask(Wrong(lambda s, c: other), best_classifier(n=40)).claim


def test_its_random_numbers_depend_on_id_and_seed_only() -> None:
    question, subject = Planted(lambda s, c: None), best_classifier(n=40)
    first = ask(question, subject, seed=1)
    assert ask(question, subject, seed=1).claim == first.claim
    assert {ask(question, subject, seed=k).claim for k in range(6)} != {first.claim}
    assert own_generator("a", 0).initial_seed() != own_generator("b", 0).initial_seed()


def test_time_is_measured_and_a_broken_budget_noted() -> None:
    slow = ask(Planted(lambda s, c: time.sleep(0.05)), best_classifier(n=40), budget_s=0.01)
    assert slow.verdict is Verdict.PASS
    assert slow.seconds >= 0.05
    assert "of a budget of 0.0 s" in slow.assumptions[0]


def test_the_budget_and_the_claims_reach_the_question() -> None:
    seen: list[Context] = []
    claims = {"planted": {"share": {"warn": 0.0}}}
    ask(Planted(lambda s, c: seen.append(c)), best_classifier(n=40), claims=claims, budget_s=7.0)
    assert seen[0].budget_s == 7.0
    assert seen[0].lines["share"] == Line(warn=0.0, fail=0.9)


def test_the_kit_accepts_a_good_question_and_names_what_is_wrong_with_others() -> None:
    subject = best_classifier(n=40)
    assert check_question(Planted(lambda s, c: None), subject).verdict is Verdict.PASS

    def draw(s: Subject, c: Context) -> None:
        torch.randn(2)

    with pytest.raises(AssertionError, match="global random state of torch"):
        check_question(Planted(draw), subject)
    counter = iter(range(100))

    @dataclass(frozen=True)
    class Unsteady(Planted):
        def answer(self, subject: Subject, context: Context) -> Finding:
            share = proportion(next(counter), 100)
            return conclude(self.card, f"{share.value:.0%}.", {"share": share}, context.lines)

    with pytest.raises(AssertionError, match="two answers under one seed"):
        check_question(Unsteady(lambda s, c: None), subject)
    check_question(Unsteady(lambda s, c: None), subject, repeatable=False)

    @dataclass(frozen=True)
    class Wordy(Planted):
        def answer(self, subject: Subject, context: Context) -> Finding:
            return conclude(self.card, "Fine.", {}, {})

    with pytest.raises(AssertionError, match="expected its numbers"):
        check_question(Wordy(lambda s, c: None), subject)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "Not Kebab"}, "kebab-case"),
        ({"theme": "magic"}, "a theme among"),
        ({"title": "No question"}, "question mark"),
        ({"why": "short"}, "in sentences"),
        ({"sources": ()}, "at least one source"),
    ],
)
def test_the_kit_checks_the_card(changes: dict[str, object], message: str) -> None:
    from dataclasses import replace

    @dataclass(frozen=True)
    class Other:
        card: Card

        def cost_s(self, subject: Subject) -> float:
            return 0.0

        def answer(self, subject: Subject, context: Context) -> Finding:
            raise NotImplementedError

    with pytest.raises(AssertionError, match=message):
        check_question(Other(replace(CARD, **changes)), best_classifier(n=40))
