"""A program handed to a tool is the program: same losses, same outputs, also for copies; and it says no answer."""

import copy
import dataclasses
import importlib
import sys
from pathlib import Path

import pytest
import torch
from small_programs import written

ROOT = Path(__file__).parents[2]
ALL = [
    *((case, version) for case in ("plain", "accumulates", "scheduled", "replaced", "remade", "modes")
      for version in ("faulty", "fixed")),
    ("fine", "fixed"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def programs():
    return importlib.import_module("benchmarks.diagnosis_programs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("programs"))


@pytest.fixture
def package(programs, folder):
    return programs.load(folder)


def trained(given, network, optimizer):
    """Run the loop of a subject as the reference runs it, and return the losses."""
    generator, losses = torch.Generator().manual_seed(given.seed + 1), []
    for _ in range(given.epochs):
        for k in torch.randperm(len(given.train[0]), generator=generator).split(given.batch_size):
            losses.append(float(given.step(network, optimizer, (given.train[0][k], given.train[1][k]))))
    return losses


@pytest.mark.parametrize("start", ["handed", "begun", "copied"])
@pytest.mark.parametrize(("case", "version"), ALL)
@pytest.mark.filterwarnings("ignore:Seems like `optimizer.step:UserWarning")
def test_its_losses_and_outputs_are_the_programs_own(programs, package, case, version, start):
    seed = 3
    losses, outputs = package.train(package.build(case, version, seed))
    given = programs.subject(package, case, version, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        network, optimizer = given.begin() if start == "begun" else (given.network, given.optimizer)
        if start == "copied":
            network, optimizer = copy.deepcopy((network, optimizer))
        assert network.training is package.build(case, version, seed).training_mode
        assert trained(given, network, optimizer) == losses
        torch.manual_seed(0)
        assert torch.equal(given.evaluate(network, given.validation[0]), outputs)


def test_runs_of_one_loop_do_not_disturb_each_other(programs, package):
    given = programs.subject(package, "accumulates", "fixed", 0)
    alone = trained(given, *given.begin())
    one, other = given.begin(), given.begin()
    batch = (given.train[0][:8], given.train[1][:8])
    given.step(*one, batch)  # counts steps of its own
    assert trained(given, *other) == alone


def test_evaluation_leaves_the_mode_of_the_loop(programs, package):
    given = programs.subject(package, "modes", "faulty", 0)
    given.evaluate(given.network, given.validation[0])
    assert not given.network.training, "this loop never calls network.train()"
    fixed = programs.subject(package, "modes", "fixed", 0)
    fixed.evaluate(fixed.network, fixed.validation[0])
    assert fixed.network.training


def test_a_network_never_seen_before_is_evaluated_as_the_program_would(programs, package):
    given = programs.subject(package, "modes", "fixed", 0)
    stranger = copy.deepcopy(given.network)
    with torch.no_grad():
        stranger[4].bias += 1.0
    put = given.evaluate(stranger, given.validation[0])
    assert torch.equal(put, stranger.eval()(given.validation[0]))
    assert not torch.equal(put, given.evaluate(given.network, given.validation[0]))


def test_nothing_says_the_answer(programs, package):
    given = programs.subject(package, "plain", "faulty", 0)
    names = {field.name for field in dataclasses.fields(given)}
    assert not names & {"case_id", "version", "faults", "where", "notes", "metric", "test"}
    program = given.begin.__self__.handed.program
    assert (program.case_id, program.version, program.faults, program.where, program.notes) == ("", "", [], "", "")


@pytest.mark.parametrize(("case", "version", "loop", "evaluation"), [
    ("plain", "faulty", False, False),
    ("fine", "fixed", False, False),
    ("accumulates", "fixed", True, False),
    ("scheduled", "faulty", True, False),
    ("replaced", "fixed", True, False),
    ("modes", "faulty", True, True),
    ("modes", "fixed", False, True),
])  # fmt: skip
def test_plain_leaves_out_what_is_plain(programs, package, case, version, loop, evaluation):
    given = programs.subject(package, case, version, 0, plain=True)
    assert (given.begin is not None, given.step is not None) == (loop, loop)
    assert (given.evaluate is not None) is evaluation


def test_a_folder_or_the_package_itself(programs, folder):
    assert programs.load(folder) is programs.load(folder.parent)
    assert str(folder.parent) not in sys.path


def test_no_package_says_what_to_do(programs, tmp_path):
    with pytest.raises(ValueError, match=r"got .*none; expected exactly one .*Give --programs"):
        programs.load(tmp_path)
    (tmp_path / "empty_programs").mkdir()
    (tmp_path / "empty_programs" / "__init__.py").write_text("")
    with pytest.raises(ValueError, match=r"without build, start, .*Add them"):
        programs.load(tmp_path / "empty_programs")


def test_the_allowance_is_a_tenth_and_never_less_than_twenty_seconds(programs, package, monkeypatch):
    assert programs.allowance_s(package, "plain", "faulty", 0) == 20.0
    long = {"verified_runs": {"faulty": [{"stopped_early": True}]}}
    monkeypatch.setattr(package, "facts", lambda: {"plain": long})
    monkeypatch.setattr(programs, "_training_seconds", lambda given: 500.0)
    assert programs.allowance_s(package, "plain", "faulty", 0) == 50.0


def test_the_whole_training_is_extrapolated_from_some_steps(programs, package):
    given = programs.subject(package, "plain", "fixed", 0)
    taken = []
    timed = dataclasses.replace(given, epochs=100, step=lambda *one: taken.append(one))
    seconds = programs._training_seconds(timed, patience_s=0.0)
    assert len(taken) < 10
    assert seconds >= 0
