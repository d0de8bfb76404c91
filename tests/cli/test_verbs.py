"""Verbs and flags are a promise: a change here is a change for every user."""

from pathlib import Path

import pytest
import typer

from equipoise.cli.app import app
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
