"""A course of treatment on real trainings: what cures is adopted, nothing is nothing, and what was cut off goes on."""

import dataclasses

import pytest

from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.plan import Plan
from equipoise.core.progress import Progress
from equipoise.core.report import Report
from equipoise.examine.subject import Subject
from equipoise.fit import cohort
from equipoise.run.what import plan as plan_of
from equipoise.treat import ledger as ledgers
from equipoise.treat import treat as room
from equipoise.treat import trials
from equipoise.treat.arm import Arm
from equipoise.treat.catalogue import treatment_named
from equipoise.treat.change import Change
from equipoise.treat.treat import treat
from equipoise.trial.rule import Rule

SICK = plan_of("wine").replace(recipe__epochs=4, recipe__patience=None, recipe__learning_rate=1e-5)
QUICK = Rule(looks=(6,), margin=0.05)


def rate(name: str, value: float, *treats: str) -> Change:
    return Change(name, f"learn at {value}", treats, lambda plan: plan.replace(recipe__learning_rate=value))


def keep(plan: Plan) -> Plan:
    return plan.replace(about="the same")


CURE = rate("cure", 3e-2, "accuracy")
NOTHING = Change("nothing", "change a remark", ("accuracy",), keep)
POISON = rate("poison", 1e-7, "accuracy")
SLOW = Change("slow", "train for ages", ("accuracy",), lambda plan: plan.replace(recipe__epochs=10**6), longer=True)
IMPOSSIBLE = Change("impossible", "break", ("accuracy",), lambda plan: plan.replace(network__family="transformer"))


def report_on(plan: Plan, verdict: Verdict = Verdict.FAIL) -> Report:
    found = Finding(question="accuracy", theme="made", title="?", verdict=verdict, claim="0.4 [0.3, 0.5].")
    return Report(name="made", created="now", command="", subject=(), plan=plan.plain(), findings=(found,))


@pytest.fixture
def only(monkeypatch):
    """Let a course know only these treatments, and leave out the examination at its end, which has its own tests."""

    def restrict(*known: Change) -> None:
        monkeypatch.setattr(room, "treatments", lambda plugins: known)

    monkeypatch.setattr(room, "examined", lambda done, *rest: report_on(done.plan, Verdict.PASS))
    return restrict


@pytest.fixture
def trained(monkeypatch):
    """Count trainings: the plan and seed of each."""
    done = []
    real = cohort.fit_members
    for module in ("equipoise.treat.arm", "equipoise.trial.paired"):
        monkeypatch.setattr(
            f"{module}.fit_members",
            lambda members, **rest: done.extend((one.plan, one.seed) for one in members) or real(members, **rest),
        )
    return done


def test_what_cures_is_adopted_and_proven_on_fresh_seeds(only, trained, monkeypatch):
    read = []
    real = Subject.answers
    monkeypatch.setattr(Subject, "answers", lambda one, part: read.append((part, len(trained))) or real(one, part))
    only(NOTHING, CURE, IMPOSSIBLE)
    got = treat(SICK, report_on(SICK), rule=QUICK)
    course = got.course
    assert course.finished
    assert course.adopted == ("cure",)
    assert got.plan == SICK.replace(recipe__learning_rate=3e-2) == Plan.read(course.after)
    assert Plan.read(course.before) == SICK
    assert [trial.outcome for trial in course.trials].count("no difference") == 1
    assert len(course.prescriptions) == len(course.trials) == 2
    assert course.trials[0].level == pytest.approx(0.04375, abs=1e-4)
    assert [one.treatment for one in course.left_out] == ["impossible"]
    used = {seed for trial in course.trials for seed in trial.seeds}
    assert SICK.seed not in used
    assert used.isdisjoint(course.comparison.seeds)
    assert course.comparison.difference.low > 0.2
    assert got.fit.plan == got.plan
    assert got.fit.seed == SICK.seed
    tested = [count for part, count in read if part == "test"]
    assert len(tested) == 2 * len(course.comparison.seeds)
    assert set(tested) == {len(trained)}, "the test part was read before the last training"


def test_trials_after_an_adoption_have_seeds_of_their_own_and_the_new_plan(only, trained):
    only(CURE, NOTHING)
    course = treat(SICK, report_on(SICK), rule=QUICK).course
    first, second = course.trials if course.trials[0].adopted else course.trials[::-1]
    assert first.treatment == "cure"
    if course.trials[0] == first:
        assert set(first.seeds).isdisjoint(second.seeds)


def test_untreated_trainings_are_made_once(only, trained):
    only(NOTHING, POISON)
    course = treat(SICK, report_on(SICK), rule=QUICK).course
    assert len(course.trials) == 2
    assert sum(plan == SICK for plan, _ in trained) == 6
    assert len(trained) == 18


def test_nothing_helped_is_an_answer(only, in_tmp):
    only(NOTHING)
    got = treat(SICK, report_on(SICK), rule=QUICK)
    assert got.course.finished
    assert got.plan == SICK
    assert (got.fit, got.report, got.course.comparison) == (None, None, None)
    assert got.course.trials[0].effect.low == got.course.trials[0].effect.high == 0
    assert list(in_tmp.iterdir()) == []


def test_what_does_not_fit_the_budget_is_listed(only):
    only(SLOW, NOTHING)
    course = treat(SICK, report_on(SICK), rule=QUICK).course
    assert [trial.treatment for trial in course.trials] == ["nothing"]
    (late,) = course.left_out
    assert late.treatment == "slow"
    assert "of the budget were left" in late.reason
    tiny = treat(SICK, report_on(SICK), budget_s=1e-3).course
    assert (tiny.trials, tiny.looks, tiny.finished) == ((), (), True)
    assert {one.treatment for one in tiny.left_out} == {"slow", "nothing"}


def test_a_slow_beginning_is_measured_again(only, monkeypatch):
    only(NOTHING)
    real, counts = trials.train_arm, []

    def cold(plan: Plan, seeds: range, **rest: object) -> Arm:
        counts.append(len(seeds))
        arm = real(plan, seeds, **rest)
        return dataclasses.replace(arm, each_s=4.9) if len(counts) == 1 else arm

    monkeypatch.setattr(trials, "train_arm", cold)
    course = treat(SICK, report_on(SICK), budget_s=60, seeds=6).course
    assert counts == [2, 4, 6]
    assert [trial.treatment for trial in course.trials] == ["nothing"]


def test_the_fourth_trial_is_of_one_drawn_at_random(only):
    others = [
        Change(f"other-{k}", "change a remark", ("nothing",), lambda plan, k=k: plan.replace(about=f"{k}"))
        for k in range(9)
    ]
    wanted = [
        Change(f"wanted-{k}", "change a name", ("accuracy",), lambda plan, k=k: plan.replace(why=(f"{k}",)))
        for k in range(5)
    ]
    only(*others, *wanted)
    course = treat(SICK, report_on(SICK), rule=QUICK).course
    assert [one.control for one in course.prescriptions] == [False, False, False, True, False, False]
    assert course.trials[3].treatment.startswith("other-")


def test_size_and_margins_are_fixed_beforehand_from_the_budget(only):
    only(NOTHING)
    (trial,) = treat(SICK, report_on(SICK), budget_s=400).course.trials
    assert "looks at 6, 10, 16 seeds" in trial.reason
    assert len(trial.seeds) == 16
    assert 0.005 <= trial.margin <= 0.03
    assert set(trial.guards) == {"accuracy of the worst class", "Brier score"}


def test_a_course_that_was_cut_off_goes_on_without_repeating(only, trained, tmp_path):
    only(CURE, NOTHING, POISON)
    whole = treat(SICK, report_on(SICK), rule=QUICK).course
    expected = len(trained)
    trained.clear()

    def cut(progress: Progress) -> None:
        if "seeds before the next look" in progress.note and not progress.finished:
            cut.looks += 1
            if cut.looks == 2:
                raise KeyboardInterrupt

    cut.looks = 0
    first = treat(SICK, report_on(SICK), rule=QUICK, folder=tmp_path, on_progress=cut)
    assert not first.course.finished
    assert (first.fit, first.report) == (None, None)
    assert len(first.course.trials) == 1
    assert ledgers.Course.load(tmp_path / "course.json") == first.course
    with pytest.raises(ValueError, match="which holds a course of treatment; expected a new folder"):
        treat(SICK, report_on(SICK), rule=QUICK, folder=tmp_path)
    with pytest.raises(ValueError, match="which holds the course of another plan"):
        treat(SICK.replace(name="other"), report_on(SICK), folder=tmp_path, resume=True)
    second = treat(SICK, report_on(SICK), rule=QUICK, folder=tmp_path, resume=True).course
    assert _timeless(second) == _timeless(whole)
    assert len(trained) <= expected + 12, "trainings that were there are asked for again, but read from the folder"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["course.json", "history.parquet"]
    again = treat(SICK, report_on(SICK), rule=QUICK, folder=tmp_path, resume=True).course
    assert _timeless(again) == _timeless(whole)


def _timeless(course: object) -> object:
    trials = tuple(trial.replace(seconds=(0.0, 0.0)) for trial in course.trials)
    return course.model_copy(update={"seconds": 0.0, "training_s": 0.0, "trials": trials})


def test_a_course_that_goes_on_knows_how_long_a_training_takes(only, tmp_path):
    """Trainings that are read from the folder take no time, and must not make trials look free."""

    def cut(progress: Progress) -> None:
        if "seeds before the next look" in progress.note:
            raise KeyboardInterrupt

    only(POISON)
    course = treat(SICK, report_on(SICK), rule=QUICK, folder=tmp_path, on_progress=cut).course
    assert course.training_s > 0
    course.replace(training_s=1000.0).save(tmp_path / "course.json")
    again = treat(SICK, report_on(SICK), rule=QUICK, folder=tmp_path, resume=True).course
    assert again.training_s == 1000
    assert "its trial takes about 6000 s" in again.left_out[0].reason


def test_a_last_training_that_was_cut_off_does_not_stop_a_course_that_adopts_more(only, tmp_path, monkeypatch):
    monkeypatch.setattr("equipoise.treat.conclude.FRESH", 2)
    rule, first = Rule(looks=(8,), margin=0.05), rate("first", 1.5e-3, "accuracy")

    def cut(progress: Progress) -> None:
        if progress.phase == "fit" and progress.done:
            raise KeyboardInterrupt

    only(first)
    assert not treat(SICK, report_on(SICK), rule=rule, folder=tmp_path, on_progress=cut).course.finished
    assert (tmp_path / "checkpoint").is_dir()
    only(first, CURE)
    course = treat(SICK, report_on(SICK), rule=rule, folder=tmp_path, resume=True).course
    assert course.adopted == ("first", "cure")
    assert course.finished


def test_a_surgery_that_a_network_cannot_have_stops_nothing(only, in_tmp, monkeypatch):
    (in_tmp / "foreign_nets.py").write_text(
        "from torch import nn\ndef bare():\n    return nn.Linear(13, 3)\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(in_tmp))
    plan = SICK.replace(network={"family": "foreign", "factory": "foreign_nets:bare", "standardise": True})
    only(Change("norm", "normalise", ("accuracy",), treatment_named("layer-norm").change), NOTHING)
    course = treat(plan, report_on(plan), rule=QUICK).course
    assert [trial.treatment for trial in course.trials] == ["nothing"]
    (left,) = course.left_out
    assert "no hidden dense or convolutional layer" in left.reason


def test_fix_must_name_what_is_wrong(only):
    only(NOTHING)
    with pytest.raises(ValueError, match=r"got fix='acuracy', of which nothing wrong was found; .* 'accuracy'"):
        treat(SICK, report_on(SICK), fix="acuracy")
    with pytest.raises(ValueError, match="and there is none"):
        treat(SICK, report_on(SICK, Verdict.PASS), fix="accuracy")


def test_options_are_checked_before_anything_is_trained(only, trained):
    only(NOTHING)
    with pytest.raises(ValueError, match="got seeds=3; expected at least 6"):
        treat(SICK, report_on(SICK), seeds=3)
    with pytest.raises(ValueError, match="got a budget of 0 s; expected more than 0"):
        treat(SICK, report_on(SICK), budget_s=0)
    with pytest.raises(ValueError, match="resume: got no folder"):
        treat(SICK, report_on(SICK), resume=True)
    assert trained == []
    with pytest.raises(ValueError, match=r"got a rule with the guard 'size'; expected one that is measured here"):
        treat(SICK, report_on(SICK), rule=dataclasses.replace(QUICK, guards={"size": 1.0}))


def test_regression_is_treated_too(only):
    plan = plan_of("linear-regression").replace(recipe__epochs=2, recipe__learning_rate=1e-5, data__n=150)
    only(rate("cure", 5e-2, "accuracy"))
    got = treat(plan, report_on(plan), rule=QUICK)
    assert got.course.adopted == ("cure",)
    assert got.course.comparison.metric == "test R2"


def test_what_is_adopted_is_what_was_proven(only):
    """A dearer network wins with fewer epochs, so it is the plan with fewer epochs that is adopted."""
    wide = Change("wide", "widen, and learn", ("accuracy",), lambda one: CURE.apply(one).replace(network__hidden=(64,)))
    only(wide)
    got = treat(SICK, report_on(SICK), rule=QUICK)
    (trial,) = got.course.trials
    assert trial.outcome == "adopted"
    assert trial.cost_ratio == pytest.approx(2.0)
    assert trial.at_equal_steps is not None
    assert got.plan == wide.apply(SICK).replace(recipe__epochs=2)
