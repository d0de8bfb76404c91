"""The verb `diagnose`: what it takes, what it prints, how it ends."""

import json
import subprocess
import sys

import pytest

from equipoise.cli.app import main
from equipoise.cli.diagnosing import Countdown
from equipoise.core.diagnosis import Diagnosis
from equipoise.core.faults import FAULTS
from equipoise.core.progress import Progress

PROGRAMS = """
import torch
from torch import nn

generator = torch.Generator().manual_seed(0)
INPUTS = torch.randn(120, 3, generator=generator)
TARGETS = INPUTS @ torch.tensor([[1.0], [-2.0], [0.5]])
CALLS = []


def arguments(**more):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    given = {"network": network, "loss": nn.functional.mse_loss, "optimizer": optimizer}
    return given | {"train": (INPUTS, TARGETS), "batch_size": 16, "epochs": 15} | more


def healthy():
    return arguments()


def uphill():
    def begin():
        made = arguments()
        return made["network"], made["optimizer"]

    def step(network, optimizer, batch):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(batch[0]), batch[1])
        (-loss).backward()
        optimizer.step()
        return loss.detach()

    return arguments(begin=begin, step=step)


def interrupted():
    made = uphill()
    step = made["step"]

    def cut_off(network, optimizer, batch):
        CALLS.append(1)
        if len(CALLS) > 200:
            raise KeyboardInterrupt
        return step(network, optimizer, batch)

    return made | {"step": cut_off}


def one_row():
    return arguments(train=(INPUTS[:1], TARGETS[:1]), epochs=1)


def interrupted_at_once():
    raise KeyboardInterrupt


def seeded():
    return {"drawn": torch.rand(1).item()}


def number():
    return 7


def broken():
    raise RuntimeError("the cable is out")


def unknown_key():
    return arguments() | {"optimiser": None}


def no_network():
    return {"loss": nn.functional.mse_loss}


def not_a_network():
    return arguments() | {"network": len}


def not_a_loss():
    return arguments() | {"loss": "mse"}
"""


@pytest.fixture
def programs(in_tmp):
    (in_tmp / "programs.py").write_text(PROGRAMS)
    return in_tmp


def ended(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["equipoise", "diagnose", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err


def test_a_healthy_program_ends_with_0(programs, monkeypatch, capsys):
    code, out, err = ended(monkeypatch, capsys, "programs.py:healthy", "--trust", "--budget", "20s")
    assert code == 0
    assert out.startswith("healthy")
    assert "own loop" in out
    assert "probe" in err, "progress goes to stderr"
    assert [path.name for path in programs.iterdir() if path.name != "__pycache__"] == ["programs.py"]


def test_a_sick_program_ends_with_1_and_its_cause_place_evidence_and_cure(programs, monkeypatch, capsys):
    code, out, _ = ended(monkeypatch, capsys, "programs.py:uphill", "--trust", "--budget", "20s")
    assert code == 1
    assert out.startswith("sick      gradient_ascent at loop.backward")
    assert "   - A step goes uphill" in out
    assert f"   cure: {FAULTS['gradient_ascent'].cure}" in out
    assert "fail      step-descends" in out


def test_json_is_the_record_and_nothing_else(programs, monkeypatch, capsys):
    code, out, _ = ended(monkeypatch, capsys, "programs.py:uphill", "--trust", "--json", "--budget", "20s")
    found = Diagnosis.read(json.loads(out))
    assert code == 1
    assert not found.healthy
    assert found.causes[0].fault == "gradient_ascent"
    assert found.seconds > 0


def test_quiet_prints_a_line_a_cause_and_no_progress(programs, monkeypatch, capsys):
    _, out, err = ended(monkeypatch, capsys, "programs.py:uphill", "--trust", "--quiet", "--budget", "20s")
    verdict, first, *_ = out.splitlines()
    assert verdict.startswith("sick")
    assert first.startswith("1. gradient_ascent at loop.backward, ")
    assert first.endswith(FAULTS["gradient_ascent"].cure)
    assert err == ""


def test_after_an_interrupt_it_prints_what_is_known(programs, monkeypatch, capsys):
    code, out, _ = ended(monkeypatch, capsys, "programs.py:interrupted", "--trust", "--json", "--budget", "60s")
    found = Diagnosis.read(json.loads(out))
    assert code == 130
    assert not found.healthy
    assert "interrupted" in found.skipped
    assert found.symptoms, "probes that were done are kept"


def test_an_unsure_program_ends_with_3_and_its_reason(programs, monkeypatch, capsys):
    code, out, _ = ended(monkeypatch, capsys, "programs.py:one_row", "--trust", "--quiet", "--budget", "20s")
    assert code == 3
    assert out.startswith("unsure    Neither the training nor the probes could say")


def test_an_interrupt_before_the_first_probe(programs, monkeypatch, capsys):
    code, out, err = ended(monkeypatch, capsys, "programs.py:interrupted_at_once", "--trust")
    assert (code, out) == (130, "")
    assert "nothing is known yet" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["programs.py:healthy"], "expected --trust"),
        (["programs.py:helthy", "--trust"], "Did you mean 'healthy'?"),
        (["elsewhere.py:healthy", "--trust"], "is not there; expected a file"),
        (["programs.py:number", "--trust"], "got int from 'programs.py:number'; expected a mapping"),
        (["programs.py:broken", "--trust"], "RuntimeError: the cable is out"),
        (["programs.py:unknown_key", "--trust"], "Did you mean 'optimizer'?"),
        (["programs.py:no_network", "--trust"], "got no network, optimizer, train"),
        (["programs.py:not_a_network", "--trust"], "expected a torch.nn.Module"),
        (["programs.py:not_a_loss", "--trust"], "got loss of type str; expected functions"),
        (["programs.py:healthy", "--trust", "--target", "y"], "got --target 'y' with the program"),
        (["programs.py:healthy", "--trust", "--budget", "soon"], "expected a length of time"),
        (["xr"], "Did you mean 'xor'?"),
        (["nowhere.csv"], "is not there"),
    ],
)
def test_a_mistake_ends_with_2_and_says_the_cure(programs, monkeypatch, capsys, arguments, message):
    code, _, err = ended(monkeypatch, capsys, *arguments)
    assert code == 2
    assert err.startswith("equipoise: ")
    assert message in err


def test_what_fails_while_it_is_read_is_said(programs, monkeypatch, capsys):
    (programs / "torn.py").write_text("import nothing_of_that_name\n")
    code, _, err = ended(monkeypatch, capsys, "torn.py:healthy", "--trust")
    assert code == 2
    assert "failed with ModuleNotFoundError" in err


@pytest.mark.parametrize("text", ["raise SystemExit(0)\n", "import sys\n\ndef healthy():\n    sys.exit()\n"])
def test_a_program_that_ends_itself_is_no_healthy_one(programs, monkeypatch, capsys, text):
    (programs / "ends.py").write_text(text)
    code, _, err = ended(monkeypatch, capsys, "ends.py:healthy", "--trust")
    assert code == 2
    assert "failed with SystemExit" in err


def test_a_budget_belongs_on_the_command_line(programs, monkeypatch, capsys):
    (programs / "timed.py").write_text("def program():\n    return {'budget_s': 3}\n")
    code, _, err = ended(monkeypatch, capsys, "timed.py:program", "--trust")
    assert code == 2
    assert "got the key 'budget_s'" in err
    assert "--budget 2m" in err


def test_help_needs_no_torch():
    argv = ["equipoise", "diagnose", "--help"]
    script = f"import sys; sys.modules['torch'] = None; sys.argv = {argv!r}\nfrom equipoise.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "file.py:function" in done.stdout


def test_the_countdown_says_what_is_left_where_the_number_of_runs_is_unknown():
    shown = []
    listener = Countdown(shown.append, 60.0)
    listener(Progress("data", 3, 3, "three rows", finished=True))
    listener(Progress("probe", 0, 2, "loss-shapes"))
    listener(Progress("probe", 2, 2, finished=True))
    listener(Progress("diagnose", 0, 0, "plain"))
    listener(Progress("diagnose", 0, 0, finished=True))
    assert [one.note for one in shown] == [
        "three rows",
        "loss-shapes",
        "probes: 2",
        "plain · at most 60 s left",
        "runs: 1",
    ]
