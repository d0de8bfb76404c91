"""Verbs and flags are a promise: a change here is a change for every user."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from equipoise.cli.app import app, main
from equipoise.cli.seconds import seconds

FROZEN = Path(__file__).parent / "frozen_verbs.txt"


def verbs() -> str:
    command = typer.main.get_command(app)
    lines = []
    for name, verb in sorted(command.commands.items()):
        words = [
            " ".join(parameter.opts) if parameter.param_type_name == "option" else parameter.name.upper()
            for parameter in verb.params
            if parameter.name != "help"
        ]
        lines.append(f"{name}: {', '.join(words)}")
    return "\n".join(lines) + "\n"


def test_verbs_and_flags_are_frozen():
    assert verbs() == FROZEN.read_text()


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("60s", 60), ("2m", 120), ("1.5h", 5400), (" 3 min ", 180), (".5s", 0.5)]
)
def test_lengths_of_time(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "-3s", "0", "10 parsecs", "1e3"])
def test_bad_lengths_of_time(text):
    with pytest.raises(ValueError, match="got .* expected a length of time"):
        seconds(text)


def refused(arguments: list[str]) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    return " ".join(result.output.split())


def test_run_takes_what_or_resume_but_not_both():
    assert "neither WHAT nor --resume" in refused(["run"])
    assert "both WHAT and --resume" in refused(["run", "digits", "--resume", "x"])


@pytest.mark.parametrize(
    "flag", [["--seed", "1"], ["--out", "x"], ["--target", "y"], ["--no-fit"], ["--plain"], ["--network", "n"]]
)
def test_resume_refuses_what_the_run_folder_says(flag):
    assert f"got {flag[0]} with --resume" in refused(["run", "--resume", "x", *flag])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "digts"], "Did you mean 'digits'?"),
        (["questions", "overfiting"], "Did you mean 'overfitting'?"),
        (["report", "nowhere"], "holds no report.json"),
        (["compare", "nowhere", "nowhere"], "holds no report.json"),
        (["export", "nowhere", "--to", "onnx"], "holds no plan.toml"),
        (["run", "--resume", "nowhere"], "holds no plan.toml"),
        (["run", "digits", "--budget", "soon"], "expected a length of time"),
        (["run", "digits", "--select", "acuracy"], "accuracy"),
    ],
)
def test_a_mistake_ends_with_its_message_and_code_2(arguments, message, monkeypatch, capsys, in_tmp):
    monkeypatch.setattr("sys.argv", ["equipoise", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("equipoise: ")
    assert message in said
    assert list(in_tmp.iterdir()) == []
