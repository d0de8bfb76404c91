"""How a subject's plan is trained again: how often, with what, and within what time."""

import dataclasses

import pytest
import torch

from equipoise.core.estimate import Verdict, exact
from equipoise.core.finding import Finding
from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.progress import Progress, silent
from equipoise.core.recipe import Recipe
from equipoise.core.stop import StopReason
from equipoise.examine import retraining
from equipoise.examine.conclude import conclude
from equipoise.examine.examination import examine_subject
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.retraining import (
    affordable_seeds,
    cost_of_trainings,
    divisions,
    longer,
    other_seeds,
    own_fit,
    train_within,
)
from equipoise.examine.stability.seed_stability import SeedStability
from equipoise.fit.cohort import Cohort, Member
from equipoise.testing import best_classifier, trained

SUBJECT = trained(best_classifier(n=120), recipe=Recipe(epochs=2))


def context(budget_s: float) -> Context:
    return Context(generator=torch.Generator(), lines={}, budget_s=budget_s)


def lasting(seconds: float):
    return dataclasses.replace(SUBJECT, fit=dataclasses.replace(SUBJECT.fit, seconds=seconds))


def test_seeds_follow_the_budget_between_their_bounds() -> None:
    fit = lasting(10.0).fit
    assert affordable_seeds(fit, context(1.0)) == 3
    assert affordable_seeds(fit, context(62.5)) == 5
    assert affordable_seeds(fit, context(1e6)) == 8
    assert affordable_seeds(fit, context(125.0), each=2.0) == 5


def test_cost_is_that_of_the_trainings_and_never_within_a_default_examination() -> None:
    assert cost_of_trainings(lasting(100.0), 3) == pytest.approx(375)
    assert cost_of_trainings(lasting(0.01), 3) == 60
    findings, left_out = examine_subject(SUBJECT, select=["stability"], command="equipoise run x")
    assert "seed-stability" not in {one.question for one in findings}
    reasons = {one.question: one for one in left_out}
    assert reasons["seed-stability"].command == "equipoise run x --select seed-stability"


def test_time_that_is_up_ends_a_cohort_at_the_fewest(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 30.0])
    monkeypatch.setattr(retraining.time, "perf_counter", lambda: next(times))
    asked: list[int] = []

    def slowly(members, on_progress):
        asked.append(len(members))
        return Cohort((SUBJECT.fit,) * len(members))

    monkeypatch.setattr(retraining, "fit_members", slowly)
    members = [Member(plan=SUBJECT.fit.plan, seed=k) for k in range(8)]
    assert len(train_within(members, 3, context(50.0))) == 4  # 10 s each, and 10 s of 40 are left
    assert asked == [3, 1]


def test_an_interrupted_training_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = dataclasses.replace(SUBJECT.fit, stopped=StopReason.INTERRUPTED)
    monkeypatch.setattr(retraining, "fit_members", lambda members, on_progress: Cohort((broken,)))
    with pytest.raises(KeyboardInterrupt):
        retraining.train([Member(plan=SUBJECT.fit.plan, seed=0)], silent)


def test_a_smaller_part_takes_as_many_steps() -> None:
    plan = SUBJECT.fit.plan.replace(recipe__epochs=10, recipe__patience=4, recipe__step_every=5)
    recipe = longer(plan, 0.25).recipe
    assert (recipe.epochs, recipe.patience, recipe.step_every) == (40, 16, 20)


def test_seeds_are_new_and_divisions_leave_the_test_part() -> None:
    fit = SUBJECT.fit
    seeds = other_seeds(fit, 3, after=2)
    assert fit.seed not in seeds
    made, how = divisions(fit, seeds)
    assert all(one.test is fit.splits.test for one in made)
    assert len({one.digest for one in made}) == 3
    assert "anew" in how
    by_time = dataclasses.replace(fit, plan=fit.plan.replace(data__split__method="time"))
    assert divisions(by_time, seeds)[0] == (fit.splits,) * 3


def test_an_object_from_python_cannot_be_made_anew() -> None:
    fit = dataclasses.replace(SUBJECT.fit, plan=SUBJECT.fit.plan.replace(network=ForeignNetwork()))
    with pytest.raises(InapplicableError, match="cannot be made anew"):
        own_fit(dataclasses.replace(SUBJECT, fit=fit))


@dataclasses.dataclass(frozen=True)
class Telling:
    """Tells how far it is."""

    card: Card = SeedStability().card

    def cost_s(self, subject) -> float:
        return 0.0

    def answer(self, subject, context: Context) -> Finding:
        context.on_progress(Progress("cohort", 1, 2))
        return conclude(self.card, "1 thing.", {"n": exact(1.0)}, {})


def test_questions_that_take_long_tell_how_far_they_are() -> None:
    heard: list[Progress] = []
    card = dataclasses.replace(Telling().card, id="x-telling")
    findings, _ = examine_subject(SUBJECT, select=["x-telling"], plugins=[Telling(card)], on_progress=heard.append)
    assert findings[0].verdict is Verdict.PASS
    assert Progress("cohort", 1, 2) in heard
