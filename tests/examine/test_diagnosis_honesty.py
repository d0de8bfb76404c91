"""A diagnosis claims no more than it saw: unsure where nothing could be measured, and what broke is said."""

import math
import time
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.core.progress import silent
from equipoise.examine.diagnosis.classical import ceiling
from equipoise.examine.diagnosis.diagnose import Known, diagnose, verdict_on
from equipoise.examine.diagnosis.evidence import Course, Evidence
from equipoise.examine.diagnosis.experiments import compare_steps, draft_of
from equipoise.examine.diagnosis.runs import OutOfTimeError, run, run_whole
from equipoise.examine.diagnosis.variations import Teller
from equipoise.examine.probes.setup import Setup

X = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + X[:, 1] > 0).long()


def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-2)


def begin():
    network = net()
    return network, adam(network.parameters())


def sound(network, optimizer, batch):
    optimizer.zero_grad()
    loss = functional.cross_entropy(network(batch[0]), batch[1])
    loss.backward()
    optimizer.step()
    return loss.detach()


class Uncopied(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = net()

    def __deepcopy__(self, memo):
        raise TypeError("a socket cannot be copied")

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize(
    ("network", "rows", "loop", "said"),
    [
        (net(), 120, {"step": sound, "budget_s": 0.0}, "the time for probes was spent"),
        (net(), 120, {"budget_s": 0.0}, "the training was cut off"),
        (Uncopied(), 120, {}, "a socket cannot be copied"),
        (net(), 1, {}, "1 samples are no batch to learn by heart"),
    ],
)
def test_where_nothing_could_be_measured_it_is_unsure_and_says_why(network, rows, loop, said):
    given = {"train": (X[:rows], Y[:rows]), "epochs": 2, "budget_s": 5.0} | loop
    found = diagnose(network, functional.cross_entropy, adam, **given)
    assert (found.verdict, found.healthy, found.causes) == ("unsure", False, ())
    assert said in found.reason
    assert found.reason in str(found)
    assert (loop.get("budget_s") == 0.0) == ("counterfactual runs" in found.skipped) or isinstance(network, Uncopied)


def test_a_training_that_raises_what_no_fault_explains_is_sick_by_its_words():
    def step(network, optimizer, batch):
        raise KeyError("weights")

    found = diagnose(net(), functional.cross_entropy, adam, train=(X, Y), epochs=1, step=step, begin=begin, budget_s=5)
    assert found.verdict == "sick"
    assert "KeyError: 'weights'" in (found.reason + str(found.causes))


class Fussy(nn.Module):
    """Trains on inputs around 5 and breaks on others."""

    def __init__(self):
        super().__init__()
        self.body = net()

    def forward(self, x):
        if self.training and abs(float(x.mean())) < 2:
            raise ArithmeticError("the inputs are not where they were")
        return self.body(x)


def test_a_variation_that_raises_is_said_and_says_nothing():
    data = (X + 5, Y)
    found = diagnose(
        Fussy(), functional.cross_entropy, lambda p: torch.optim.SGD(p, lr=1e-4), train=data, epochs=3, budget_s=60
    )
    broken = {name: reason for name, reason in found.skipped.items() if name.startswith("run: ")}
    assert "run: sound recipe" in broken
    assert all("ArithmeticError: the inputs are not where they were" in reason for reason in broken.values())
    assert found.verdict == "unsure", "classical learners do far better, and nothing could tell why"
    assert "the inputs are not where they were" in found.reason


def test_a_training_far_below_what_is_in_reach_is_not_healthy_for_want_of_time():
    poor = Course(
        skill=0.1, balanced=0.5, train=0.1, finite=True, steps=9, epochs=1, jumps=0.0, loss_rise=0.0, update=1e-3
    )
    found = Evidence(own=poor, plain=poor, own_plainly=0.1, reference=0.1, ceiling=0.9, learnable=0.9)
    late = {"counterfactual runs": "the time was spent before all of them were made"}
    verdict, reason = verdict_on(Known(found=found, not_run=late), ())
    assert verdict == "unsure"
    assert "A skill of 0.80 is in reach, and the training ends at 0.10" in reason
    assert verdict_on(Known(found=replace(found, ceiling=0.1), not_run=late), ()) == ("healthy", "")


def test_after_an_interrupt_the_runs_made_so_far_are_kept():
    def impatient(progress):
        if progress.note == "sound recipe":
            raise KeyboardInterrupt

    found = diagnose(
        net(),
        functional.cross_entropy,
        lambda p: torch.optim.SGD(p, lr=1e-4),
        train=(X, Y),
        epochs=2,
        budget_s=20,
        on_progress=impatient,
    )
    assert "interrupted" in found.skipped
    assert not found.healthy
    assert "own loop" in found.score


def test_nothing_of_ours_goes_on_when_the_time_is_spent():
    setup = Setup(net(), functional.cross_entropy, adam, (X, Y), epochs=50, step=sound, begin=begin)
    draft = draft_of(setup)
    past = time.perf_counter()
    with pytest.raises(OutOfTimeError):
        run_whole(draft.setup, draft.judge, deadline=past)
    cut = run(setup, draft.judge, deadline=past)
    assert (cut.complete, len(cut.losses), len(cut.looks)) == (False, 1, 1)
    told = Teller(silent, past)
    assert told.attempt("never begun", lambda: 1 / 0) is None
    assert not told.unmade
    assert compare_steps(setup, past) == (True, pytest.approx(1.0))
    learners = [ceiling((X, Y), draft.judge, deadline) for deadline in (past, math.inf)]
    assert learners[0] is not None
    assert learners[0] <= learners[1]


@pytest.mark.parametrize("broken", ["nothing", "raises", "ascends"])
def test_an_own_loop_that_nobody_can_start_anew_is_never_called_healthy(broken):
    def step(network, optimizer, batch):
        if broken == "raises":
            raise RuntimeError("no")
        if broken == "ascends":
            optimizer.zero_grad()
            (-functional.cross_entropy(network(batch[0]), batch[1])).backward()
            optimizer.step()
        return torch.tensor(1.0)

    found = diagnose(net(), nn.CrossEntropyLoss(), adam, train=(X, Y), step=step, budget_s=10)
    assert found.verdict == "unsure"
    assert "the loop has a step of its own and no `begin`" in found.reason


@pytest.mark.parametrize("made", [None, (net(), adam), (adam(net().parameters()), net())])
def test_a_begin_that_returns_something_else_is_refused(made):
    with pytest.raises(ValueError, match=r"got .* from begin; expected \(network, optimizer\).* Return both"):
        diagnose(net(), nn.CrossEntropyLoss(), adam, train=(X, Y), step=sound, begin=lambda: made, budget_s=10)


def test_a_step_that_ends_the_program_is_a_sick_training():
    def step(network, optimizer, batch):
        raise SystemExit(0)

    found = diagnose(net(), nn.CrossEntropyLoss(), adam, train=(X, Y), step=step, begin=begin, budget_s=10)
    assert found.verdict == "sick"
    assert "SystemExit(0)" in str(found)


@pytest.mark.parametrize("wrong", [{"batch_size": "32"}, {"epochs": None}, {"epochs": 20.0}, {"train": (X.numpy(), Y)}])
def test_arguments_of_another_kind_are_refused(wrong):
    with pytest.raises(ValueError, match=r"got (batch_size=|train=tuple of ndarray, Tensor).*; expected"):
        diagnose(net(), nn.CrossEntropyLoss(), adam, **({"train": (X, Y)} | wrong))


def test_without_held_out_rows_learners_are_judged_on_rows_they_have_not_seen():
    flipped = torch.where(torch.rand(120, generator=torch.Generator().manual_seed(2)) < 0.3, 1 - Y, Y)
    found = diagnose(net(), nn.CrossEntropyLoss(), adam, train=(X, flipped), epochs=3, budget_s=20)
    assert found.score["classical learner"] < 0.7
