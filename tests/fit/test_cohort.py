"""A cohort's member is the network that would have been trained alone; nothing that is trained is lost."""

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fit_subjects import DENSE, blobs, pictures, plan, regression, splits

import equipoise
from equipoise.core.preprocessing import ArrayNumbers
from equipoise.core.signature import ArrayInput, Task
from equipoise.core.stop import StopReason
from equipoise.data.samples import TensorSamples
from equipoise.fit.cohort import Cohort, InterruptedCohort, Member, fit_members
from equipoise.fit.cohorts import crew
from equipoise.fit.cohorts.lane import lay_out_workers
from equipoise.fit.cohorts.member import members_of, part_of
from equipoise.fit.cohorts.parcel import unpack_fit
from equipoise.fit.cohorts.pool import DiedError, pool
from equipoise.fit.cohorts.worker import Training
from equipoise.fit.fit import fit

CONVOLUTIONAL = {"family": "convolutional", "channels": [4, 8], "hidden": [8], "normalisation": "batch"}


def sequences(n=160, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 6, 3, generator=generator)
    numbers = ArrayNumbers(mean=(0.0,) * 3, scale=(1.0,) * 3)
    spec = ArrayInput(shape=(6, 3), axes="steps,features")
    task = Task(kind="binary", classes=("less", "more"))
    return splits(inputs, (inputs.sum((1, 2)) > 0).long(), task, spec, numbers=numbers)


SUBJECTS = {
    "dense": (plan(DENSE, epochs=3), blobs),
    "batch norm": (plan(CONVOLUTIONAL, epochs=2), pictures),
    "dropout": (plan({**DENSE, "dropout": 0.3}, epochs=3), blobs),
    "lstm": (plan({"family": "recurrent", "cell": "lstm", "hidden": [8]}, epochs=2), sequences),
    "early stopping": (plan(DENSE, epochs=40, patience=2, learning_rate=0.02), blobs),
    "governor": (plan(DENSE, epochs=12, learning_rate=3e4, optimizer="sgd", batch_size=8), blobs),
    "class weights": (plan(DENSE, epochs=2, class_weights="balanced"), blobs),
    "augmentation": (plan(CONVOLUTIONAL, epochs=2, augmentation=("noise", "shift")), pictures),
    "averaging": (plan(DENSE, epochs=3, weight_averaging="tail", schedule="one-cycle"), regression),
    "temperature": (plan(DENSE, epochs=2, finish=("temperature",)), blobs),
}

LONG = plan(DENSE, epochs=20, batch_size=4, tuned=False)


def assert_same(one, other):
    weights = other.network.state_dict()
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, weights[name]), name
    for attribute in ("stopped", "vitals", "epochs", "steps", "best_epoch", "acts", "score", "seed"):
        assert repr(getattr(one, attribute)) == repr(getattr(other, attribute)), attribute  # NaN is itself
    assert (one.execution.lane, one.execution.threads) == (other.execution.lane, other.execution.threads)


@pytest.fixture
def worker():
    """Another process that trains; the same one for all tests, unless one kills it."""
    one = pool().take()
    yield one
    pool().give_back(one)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_another_process_trains_to_the_same_bits(worker, subject):
    one, data = SUBJECTS[subject]
    here = fit(one, 5, splits=data())
    training = Training(plan=one, seed=5, data=pool().number(), threads=1, folder=None, trust=False)
    parcel = worker.train(training, data(), lambda progress: None)
    assert_same(unpack_fit(parcel, one, 5, data()), here)
    assert (subject == "governor") == bool(here.acts)
    assert (subject == "early stopping") == (here.stopped is StopReason.NO_IMPROVEMENT)


def test_an_ensemble_and_data_that_the_plan_changes_come_back(worker):
    one = plan(DENSE, epochs=2).replace(members=2, data__training={"remove_duplicates": True})
    twice = blobs()
    twice = replace(
        twice,
        train=TensorSamples(*(torch.cat([part, part]) for part in twice.train.batch(torch.arange(120)))),
        rows={**twice.rows, "train": np.arange(240)},
    )
    training = Training(plan=one, seed=0, data=pool().number(), threads=1, folder=None, trust=False)
    done = unpack_fit(worker.train(training, twice, lambda progress: None), one, 0, twice)
    here = fit(one, 0, splits=twice)
    assert len(done.splits.train) == len(here.splits.train) == 120
    assert np.array_equal(done.splits.rows["train"], here.splits.rows["train"])
    assert_same(done, here)


def test_a_cohort_trained_side_by_side_is_the_same():
    pool().give_back(pool().take())  # so that it waits already
    shared = blobs()
    members = [Member(plan=LONG, seed=seed, splits=shared) for seed in range(3)]
    cohort = fit_members(members, lane="processes", workers=2)
    for one, member in zip(cohort.members, members, strict=True):
        assert_same(one, fit(member.plan, member.seed, splits=shared))
    assert (cohort.execution.lane, cohort.execution.processes) == ("processes", 2)
    assert (cohort.execution.threads, cohort.execution.died) == (1, 0)
    assert (cohort.missing, cohort.asked) == ((), tuple(members))
    assert 0 < max(one.seconds for one in cohort.members) < cohort.seconds
    assert pool().idle == 1


THREADED = ("dense", "dropout", "early stopping", "governor", "class weights", "averaging", "temperature")


def test_threads_train_the_plan_lane_side_by_side_to_the_same_bits():
    members = [
        Member(plan=SUBJECTS[name][0], seed=seed, splits=SUBJECTS[name][1]()) for name in THREADED for seed in (0, 1)
    ]
    before = torch.get_rng_state()
    cohort = fit_members(members, lane="threads", workers=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert (cohort.execution.lane, cohort.execution.processes) == ("threads", 1)
    assert 2 <= cohort.execution.beside <= 3
    for one, member in zip(cohort.members, members, strict=True):
        assert_same(one, fit(member.plan, member.seed, splits=member.splits))
        assert one.execution.lane.startswith("plan")


def test_small_trainings_do_not_pay_for_processes(monkeypatch):
    monkeypatch.setattr(crew, "START_S", 1e3)
    monkeypatch.setattr(crew, "HAND_OVER_S", 1e3)
    heard, shared = [], pictures()
    members = [Member(plan=SUBJECTS["batch norm"][0], seed=seed, splits=shared) for seed in range(3)]
    cohort = fit_members(members, workers=2, on_progress=heard.append)
    assert cohort.execution.lane in ("sequential", "threads")
    assert cohort.execution.processes == 1
    assert 0 < cohort.execution.timings["sequential"] < cohort.execution.timings["processes"]
    assert [one.phase for one in heard] == ["cohort"] * len(heard)
    assert (heard[-1].done, heard[-1].total, heard[-1].finished) == (3, 3, True)
    assert cohort.scores == tuple(one.score for one in cohort.members)
    assert cohort.score.low <= cohort.score.value <= cohort.score.high
    for one, member in zip(cohort.members, members, strict=True):
        assert_same(one, fit(member.plan, member.seed, splits=shared))


def test_long_trainings_ask_for_help(monkeypatch):
    monkeypatch.setattr(crew, "START_S", 0.0)
    monkeypatch.setattr(crew, "HAND_OVER_S", 0.0)
    members = [Member(plan=LONG.replace(recipe__epochs=3), seed=seed, splits=blobs()) for seed in range(3)]
    cohort = fit_members(members, workers=2)
    assert cohort.execution.lane == "processes"
    for one, member in zip(cohort.members, members, strict=True):
        assert_same(one, fit(member.plan, member.seed, splits=member.splits))


def trainers():
    """The processes that train for this one, and no other child of it."""
    lists = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    found = [int(one) for each in lists for one in each]
    return [one for one in found if b"cohorts.worker" in Path(f"/proc/{one}/cmdline").read_bytes()]


def test_a_member_whose_process_dies_is_trained_again():
    shared, killed = blobs(), []

    def listen(progress):
        if threading.current_thread() is not threading.main_thread() and "seed" in progress.note and not killed:
            killed.extend(trainers())
            for one in killed:
                os.kill(one, signal.SIGKILL)

    members = [Member(plan=LONG.replace(recipe__epochs=60), seed=seed, splits=shared) for seed in (0, 1)]
    cohort = fit_members(members, lane="processes", workers=2, on_progress=listen)
    assert killed
    assert cohort.execution.died == 1
    for one, member in zip(cohort.members, members, strict=True):
        assert_same(one, fit(member.plan, member.seed, splits=shared))


class DoomedWorker:
    """Dies whenever it trains."""

    process, is_alive = 0, False

    def train(self, training, splits, on_progress):
        raise DiedError("exit code -9")

    def kill(self):
        pass


class Doomed:
    """Hands out processes that die."""

    def __init__(self):
        self.taken, self.idle = 0, 0

    def take(self):
        self.taken += 1
        return DoomedWorker()

    def give_back(self, worker):
        pass


def test_a_member_that_kills_its_process_every_time_is_given_up(monkeypatch):
    doomed = Doomed()
    monkeypatch.setattr(crew, "pool", lambda: doomed)
    members = [Member(plan=LONG, seed=seed, splits=blobs()) for seed in (0, 1)]
    with pytest.raises(
        RuntimeError, match=r"got three processes that ended while they trained seed . \(exit code -9\)"
    ):
        fit_members(members, lane="processes", workers=2)
    assert doomed.taken == crew.ATTEMPTS


def test_an_error_in_another_process_is_raised_here():
    good, bad = plan(DENSE, epochs=2), plan(DENSE, epochs=2, loss="mse", label_smoothing=0.1)
    shared = blobs()
    with pytest.raises(ValueError, match="got") as here:
        fit(bad, 0, splits=shared)
    members = [Member(plan=LONG, seed=0, splits=shared), Member(plan=bad, seed=0, splits=shared)]
    with pytest.raises(ValueError, match="got") as there:
        fit_members(members, lane="processes", workers=2)
    assert str(there.value) == str(here.value)
    assert len(fit_members([Member(plan=good, seed=0, splits=shared)]).members) == 1


def interrupt_after(count):
    def listen(progress):
        if progress.done == count and not progress.finished:
            raise KeyboardInterrupt

    return listen


def test_ctrl_c_keeps_what_is_done_and_a_folder_goes_on(tmp_path):
    shared, seeds = blobs(), (0, 1, 2, 3)
    small = plan(DENSE, epochs=3)
    cohort = equipoise.fit(small, seeds=seeds, splits=shared, folder=tmp_path, on_progress=interrupt_after(2))
    assert isinstance(cohort, Cohort)
    assert [one.seed for one in cohort.members] == [one.seed for one in cohort.asked] == [0, 1]
    assert [one.seed for one in cohort.missing] == [2, 3]
    with pytest.raises(ValueError, match=r"which holds a cohort; .*resume=True"):
        equipoise.fit(small, seeds=seeds, splits=shared, folder=tmp_path)
    with pytest.raises(ValueError, match="which holds a cohort of other members"):
        equipoise.fit(small, seeds=(0, 1, 2, 4), splits=shared, folder=tmp_path, resume=True)
    before = (tmp_path / "001" / "checkpoint" / "latest.json").stat().st_mtime_ns
    again = equipoise.fit(small, seeds=seeds, splits=shared, folder=tmp_path, resume=True)
    assert (tmp_path / "001" / "checkpoint" / "latest.json").stat().st_mtime_ns == before
    for one, seed in zip(again.members, seeds, strict=True):
        assert_same(one, fit(small, seed, splits=shared))


def test_an_interrupt_ends_the_trainings_of_other_processes():
    shared, heard = blobs(), []

    def listen(progress):
        if threading.current_thread() is not threading.main_thread():
            heard.append(progress)
        elif heard and "Ctrl-C" not in heard:
            heard.append("Ctrl-C")
            raise KeyboardInterrupt

    endless = LONG.replace(recipe__epochs=10**6)
    with pytest.raises(InterruptedCohort) as caught:
        fit_members(
            [Member(plan=endless, seed=seed, splits=shared) for seed in range(3)],
            lane="processes",
            workers=2,
            on_progress=listen,
        )
    assert caught.value.cohort.members == ()
    assert [one.seed for one in caught.value.cohort.missing] == [0, 1, 2]


def test_members_differ_in_seed_value_and_share():
    members = members_of(
        plan(DENSE, seed=3), 2, vary={"recipe.learning_rate": (0.1, 0.2)}, subset=(0.25, 0.5), splits=blobs()
    )
    described = [(one.plan.recipe.learning_rate, one.subset, one.seed) for one in members]
    assert described == [(rate, share, seed) for rate in (0.1, 0.2) for share in (0.25, 0.5) for seed in (3, 4)]
    assert members[-1].plan.network == plan(DENSE).network


def test_shares_of_one_seed_are_nested_and_leave_the_rest_alone():
    whole = blobs()
    small, large = part_of(whole, 0.25, 7), part_of(whole, 0.5, 7)
    assert set(small.rows["train"]) < set(large.rows["train"]) < set(whole.rows["train"])
    assert len(small.train) == len(small.rows["train"]) == 30
    assert set(part_of(whole, 0.25, 8).rows["train"]) != set(small.rows["train"])
    assert torch.equal(small.train.inputs, whole.train.inputs[torch.as_tensor(small.rows["train"])])
    assert small.validation is whole.validation
    assert small.digest not in (whole.digest, large.digest)
    assert part_of(whole, 1.0, 7) is whole
    cohort = equipoise.fit(plan(DENSE, epochs=1, batch_size=10), seeds=1, subset=(0.25, 1.0), splits=whole)
    assert [one.steps for one in cohort.members] == [3, 12]


def test_what_cannot_be_one_core_or_streamed_stays_in_this_process():
    shared, recipe = blobs(), plan(DENSE).recipe
    assert lay_out_workers([recipe] * 4, [shared] * 4, "auto", 1).workers == 1
    assert "cores allow: 2" in lay_out_workers([recipe] * 4, [shared] * 4, "auto", 2).reason
    assert lay_out_workers([recipe.replace(threads=2)] * 4, [shared] * 4, "auto", 4).workers == 2
    assert lay_out_workers([recipe] * 4, [shared] * 4, "sequential", 4).reason == "sequential: asked for"
    with pytest.raises(ValueError, match="got 'processes' where there is one member only"):
        lay_out_workers([recipe], [shared], "processes", 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seeds": 0}, "seeds: got 0; expected a number from 1"),
        ({"seeds": (1, 1)}, r"seeds: got \(1, 1\); expected a number from 1, or different seeds"),
        ({"seeds": 2, "vary": {"recipe.rate": (1.0,)}}, "got the key 'recipe.rate'; expected one of a plan"),
        ({"seeds": 2, "vary": {"recipe.learning_rate": ()}}, "got no value"),
        ({"seeds": 2, "subset": 1.5}, "subset: got 1.5; expected shares"),
        ({"seeds": 2, "workers": 0}, "workers: got 0; expected at least 1"),
        ({"seeds": 2, "seed": 1}, "got seeds=2 with a seed; expected one or the other"),
        ({"seeds": 2, "lane": "turbo"}, "lane: got 'turbo'; expected one of auto, sequential"),
        ({"workers": 0}, "got workers without seeds"),
        ({"subset": 0.5}, "got subset without seeds; expected it with a cohort"),
    ],
)
def test_nonsense_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        equipoise.fit(plan(DENSE, epochs=1), splits=blobs(), **options)


def test_a_cohort_needs_members():
    with pytest.raises(ValueError, match="got a cohort without members"):
        fit_members([])
